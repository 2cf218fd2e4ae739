"""What an edit minimises: push the forget classes away, pull the retained ones into place.

Notation: z are the student's logits and z0 the original's, both (B, K); F is the set of forget
classes, given as a boolean mask `forgotten` (K,); p = softmax(z); p_F is the probability mass of F;
a tilde means renormalised over the retained classes. The identity that ties the two variants of
pull together, at temperature 1:

    KL(q~ || p) = KL(q~ || p~) - log(1 - p_F)

so a pull whose teacher alone is masked already pushes, with a gradient bounded by p_F.
All functions return one value per row, (B,).
"""

import math

from torch import Tensor
from torch.nn import functional as F


def forget_mass(logits: Tensor, forgotten: Tensor) -> Tensor:
    """p_F: the probability, (B,) in 0..1, that the logits (B, K) give to the forget classes."""
    return logits.softmax(1)[:, forgotten].sum(1)


def retained_only(logits: Tensor, forgotten: Tensor) -> Tensor:
    """Logits (B, K) with minus infinity for the forget classes."""
    return logits.masked_fill(forgotten, -math.inf)


def push_bounded(logits: Tensor, forgotten: Tensor) -> Tensor:
    """-log(1 - p_F), computed from logits: its gradient never exceeds p_F <= 1 per logit."""
    return logits.logsumexp(1) - logits[:, ~forgotten].logsumexp(1)


def push_cross_entropy(logits: Tensor, instructed: Tensor) -> Tensor:
    """Cross-entropy to the editing instruction (B,), as Boundary Shrink (arXiv 2303.11570)."""
    return F.cross_entropy(logits, instructed, reduction="none")


def pull_masked(logits: Tensor, teacher: Tensor, forgotten: Tensor, temperature: float) -> Tensor:
    """T^2 KL(q~ || p~): teacher and student masked (variant B), pure retention."""
    return _kl(logits[:, ~forgotten], teacher[:, ~forgotten], temperature)


def pull_teacher_only(
    logits: Tensor, teacher: Tensor, forgotten: Tensor, temperature: float
) -> Tensor:
    """T^2 KL(q~ || p): only the teacher masked (variant A); DELETE (arXiv 2503.04079) at T = 1."""
    student = (logits / temperature).log_softmax(1)[:, ~forgotten]
    target = (teacher[:, ~forgotten] / temperature).log_softmax(1)
    return temperature**2 * F.kl_div(student, target, reduction="none", log_target=True).sum(1)


def pull_rows(logits: Tensor, teacher: Tensor, barred: Tensor) -> Tensor:
    """KL(q~ || p~) without what each row is barred from, (B, K); with one class left it is 0."""
    student, target = (z.masked_fill(barred, -math.inf).log_softmax(1) for z in (logits, teacher))
    return (target.exp() * (target - student)).masked_fill(barred, 0).sum(1)


def _kl(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    student = (logits / temperature).log_softmax(1)
    target = (teacher / temperature).log_softmax(1)
    return temperature**2 * F.kl_div(student, target, reduction="none", log_target=True).sum(1)

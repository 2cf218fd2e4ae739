"""What a network answers when the forgotten classes are left out.

Taking probability away from the forgotten classes is what was asked for, so whatever compares two
networks on the retained classes sets those aside first: softmax over the retained logits alone.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def retained_probabilities(logits: "Tensor", gone: "Tensor") -> "Tensor":
    """Probabilities renormalised over the retained classes.

    Args:
        logits: (B, K) of one network.
        gone: (K,) bool mask of the forgotten classes; at least one class must be left.

    Returns:
        (B, K) float64, zero in the forgotten columns. A row is NaN throughout where the network's
        softmax over all classes, or over the retained ones, is not finite (a logit of minus
        infinity alone is no harm).
    """
    exact = logits.double()
    found = exact.masked_fill(gone, -float("inf")).softmax(1)
    broken = ~(found.isfinite() & exact.softmax(1).isfinite()).all(1)
    return found.masked_fill(broken[:, None], float("nan"))

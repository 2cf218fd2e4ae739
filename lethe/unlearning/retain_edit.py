"""An edit that learns from retained rows too: a fixed number of epochs over pairs of batches.

    class NegGradPlus(RetainEdit): ...
    edit = edit_with_retained(model, forget, context, settings, Course(pairs=..., losses=...))

The methods that go through here are references for comparison. They need the data that Lethe's
other methods do without, and end after their epochs whether or not the rows are forgotten, as
published. A copy is changed, in training mode, as published; what its owner froze stays frozen; and
rows stream.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from lethe.data.rows import Batch, Rows
from lethe.errors import MethodError
from lethe.unlearning.classes import barred, barred_outputs
from lethe.unlearning.layers import unfreeze_last
from lethe.unlearning.method import Context, Edit, ForgetTarget

UNKNOWN_LABEL = -1


class RetainEdit(BaseModel):
    """Settings that all edits with retained rows share."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    optimizer: Literal["adam", "sgd"] = Field(
        default="sgd", description="Adam, or SGD with momentum 0.9"
    )
    learning_rate: float = Field(default=0.01, gt=0, description="of the optimizer, constant")
    weight_decay: float = Field(default=0.0, ge=0, description="of the optimizer, on the gradient")
    clip: float = Field(default=100.0, gt=0, description="largest norm of a step's gradient")
    epochs: int = Field(default=10, ge=1, description="epochs, all of which are run")
    batch_size: int = Field(default=64, ge=2, description="rows per step")
    edited_share: float = Field(
        default=1.0, gt=0, le=1, description="share of the layers that change, from the output"
    )


class Pair(NamedTuple):
    """Batches that a step learns from, on the CPU; one of them may be missing."""

    forget: Batch | None
    retained: Batch | None


class Seen(NamedTuple):
    """Rows of a step: positions (B,), on the CPU, inputs, labels (B,) and the student's logits."""

    positions: Tensor
    x: Tensor
    y: Tensor
    logits: Tensor


Pairs = Callable[[int, torch.Generator], Iterator[Pair]]
Losses = Callable[[nn.Module, Seen | None, Seen | None, int], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Course:
    """What an edit sees and minimises.

    Attributes:
        pairs: of one epoch, from its number (from 0) and the generator of orders.
        losses: terms whose sum a step minimises, each a scalar by the name of its curve, from the
            student, what it says of the forget rows and of the retained ones, and the epoch.
        terms: all those names. A curve holds the mean over the steps that have the term, 0 if no
            step of the epoch has it.
        after_step: called after every step with the student and the optimizer.
        together: both batches of a pair go through the student as one, so that BatchNorm sees
            them so.
    """

    pairs: Pairs
    losses: Losses
    terms: tuple[str, ...]
    after_step: Callable[[nn.Module, torch.optim.Optimizer], None] | None = None
    together: bool = False


def retained_rows(forget: ForgetTarget, name: str) -> Rows:
    """The retained rows of a request.

    Args:
        forget: as given to the method.
        name: of the method.

    Raises:
        MethodError: if there are none.
    """
    if forget.retained is None or not len(forget.retained):
        raise MethodError(
            f"Method {name!r} learns from retained rows, and none were given. The model was left "
            f"as it was. Give `ForgetTarget.retained`, or name a method that needs forget rows "
            f"alone: docs/README.md lists them."
        )
    return forget.retained


def edit_with_retained(
    model: nn.Module, forget: ForgetTarget, context: Context, settings: RetainEdit, course: Course
) -> Edit:
    """Change a copy of the model by the course.

    Raises:
        MethodError: if the request does not fit the model, nothing may change, or the edit
            diverges.
    """
    started = time.perf_counter()
    device = context.device
    student = copy.deepcopy(model).to(device).eval()
    flags = {name: weight.requires_grad for name, weight in student.named_parameters()}
    outputs = barred_outputs(student, forget, device)
    unfreeze_last(student, next(forget.rows.batches(1)).x.to(device), settings.edited_share)
    weights = [weight for weight in student.parameters() if weight.requires_grad]
    if not weights:
        raise MethodError(
            "All weights that the edit may change are frozen. The model was left as it was. Raise "
            "`edited_share` in the method's options, or let some weights require gradients."
        )
    optimizer = _optimizer(settings, weights)
    curves: dict[str, list[float]] = {
        name: [] for name in ("loss", *course.terms, "forget_accuracy")
    }
    generator = torch.Generator().manual_seed(context.seed)
    with torch.random.fork_rng(devices=[device.index or 0] if device.type == "cuda" else []):
        torch.manual_seed(context.seed)  # dropout
        for epoch in range(settings.epochs):
            sums = dict.fromkeys(("loss", *course.terms), 0.0)
            counts = dict.fromkeys(sums, 0)
            for pair in course.pairs(epoch, generator):
                seen = _look(student, pair, device, together=course.together)
                if seen == (None, None):
                    continue
                terms = dict(course.losses(student, *seen, epoch))
                loss = torch.stack(list(terms.values())).sum()
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                torch.nn.utils.clip_grad_norm_(weights, settings.clip)
                optimizer.step()
                if course.after_step is not None:
                    course.after_step(student, optimizer)
                for name, value in {"loss": loss, **terms}.items():
                    sums[name] += value.item()
                    counts[name] += 1
            means = {name: sums[name] / max(1, counts[name]) for name in sums}
            finite = all(map(math.isfinite, means.values()))
            if not finite or not all(weight.isfinite().all() for weight in weights):
                raise MethodError(
                    f"The edit diverged in epoch {epoch + 1}: a loss or a weight is not finite. "
                    f"The model was left as it was. Lower `learning_rate` in the method's options."
                )
            means["forget_accuracy"] = _recognised(student.eval(), forget.rows, outputs, settings)
            for name, mean in means.items():
                curves[name].append(mean)
            context.progress(epoch + 1, settings.epochs)
    for name, weight in student.named_parameters():
        weight.grad = None
        weight.requires_grad_(flags[name])
    return Edit(
        model=student.cpu().eval(),
        curves=curves,
        epochs=settings.epochs,
        seconds=time.perf_counter() - started,
        stopped=f"After its {settings.epochs} epochs: {means['forget_accuracy']:.1%} recognised.",
    )


def cross_entropy(seen: Seen) -> Tensor:
    """Mean cross-entropy of the rows' own labels."""
    return F.cross_entropy(seen.logits, seen.y)


def _optimizer(settings: RetainEdit, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "adam":
        return torch.optim.Adam(weights, lr=rate, weight_decay=decay)
    return torch.optim.SGD(weights, lr=rate, momentum=0.9, weight_decay=decay)


def _look(
    student: nn.Module, pair: Pair, device: torch.device, *, together: bool
) -> tuple[Seen | None, Seen | None]:
    """What the student says of both batches; retained rows need a label that it knows."""
    forget, retained = pair
    if retained is not None:
        known = retained.y != UNKNOWN_LABEL
        retained = Batch(*(tensor[known] for tensor in retained))
    if not together or forget is None or retained is None:
        return _answers(student, forget, device), _answers(student, retained, device)
    joined = Batch(*(torch.cat(parts) for parts in zip(forget, retained, strict=True)))
    both = _answers(student, joined, device)
    if both is None:
        return None, None
    at = len(forget.y)
    first, second = (Seen(*(t[part] for t in both)) for part in (slice(at), slice(at, None)))
    return first, second if len(second.y) else None


def _answers(student: nn.Module, batch: Batch | None, device: torch.device) -> Seen | None:
    if batch is None or not len(batch.y):
        return None
    # A single row has no variance for BatchNorm to learn from.
    training_mode(student, learn=len(batch.y) > 1)
    x = batch.x.to(device)
    return Seen(batch.positions, x, batch.y.to(device), student(x))


def training_mode(student: nn.Module, *, learn: bool) -> None:
    """Train mode, except where all weights of a module are frozen: its statistics stay too."""
    student.train(learn)
    for module in student.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(weight.requires_grad for weight in own):
            module.eval()


@torch.no_grad()
def _recognised(student: nn.Module, rows: Rows, outputs: Tensor, settings: RetainEdit) -> float:
    """Share of the forget rows that are recognised."""
    found = 0
    for batch in rows.batches(max(512, settings.batch_size)):
        answer = student(batch.x.to(outputs.device)).argmax(1, keepdim=True)
        found += int(barred(outputs, batch.y.to(outputs.device)).gather(1, answer).sum())
    return found / len(rows)

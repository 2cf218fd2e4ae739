"""An edit over forget rows alone: one loss per row, until no row is recognised any more.

    class GradientAscent(RowEdit): ...
    found = survey_rows(settings, model, forget, context)               # in `probe`
    edit = edit_rows(model, forget, instructions, context, settings, plan=Plan(loss, share))

Every method that only says how wrong a row is, and perhaps what holds the network meanwhile, goes
through here, so that all treat the model alike: a copy is changed, in eval mode, since batches
without retained rows would drag BatchNorm's statistics away; what its owner froze stays frozen; the
gradient is clipped; and rows stream. All can weigh their rows by influence.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from lethe.data.rows import Batch, Rows
from lethe.errors import MethodError
from lethe.unlearning.classes import barred, barred_outputs
from lethe.unlearning.influence import Weights, influence_weights
from lethe.unlearning.intensity import pivot_of, restoring, unchanged
from lethe.unlearning.layers import unfreeze_last
from lethe.unlearning.losses import pull_rows
from lethe.unlearning.method import Context, Edit, ForgetTarget, Instructions
from lethe.unlearning.schedule import Schedule, until_forgotten
from lethe.unlearning.survey import WEIGHTS, Survey, check_instructions, survey

ROWS_TARGET = 0.9  # ours; the model's held-out accuracy says better what a retrained one would know


class RowEdit(BaseModel):
    """Settings that all edits over forget rows share."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    optimizer: Literal["adam", "sgd"] = Field(
        default="adam", description="Adam, or SGD with momentum 0.9"
    )
    learning_rate: float = Field(default=2e-4, gt=0, description="of the optimizer")
    growth: float = Field(
        default=1.03, ge=1, description="growth of the rate per step, after 40 without success"
    )
    clip: float = Field(default=1.0, gt=0, description="largest norm of a step's gradient")
    epochs: int = Field(default=20, ge=1, description="most epochs until forgotten")
    least_steps: int = Field(
        default=200, ge=1, description="steps within which it may be forgotten, if epochs are fewer"
    )
    batch_size: int = Field(default=64, ge=1, description="forget rows per step")
    epoch_rows: int = Field(
        default=2048, ge=1, description="most forget rows per epoch; the others come in the next"
    )
    target: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="share of forget rows that may stay recognised; 0 for classes, 0.9 for rows",
    )
    weights: Weights = Field(default="uniform", description="of the rows: equal or by influence")
    top: float = Field(
        default=0.5, gt=0, le=1, description="share of the rows that influence weighs at all"
    )


class Sample(NamedTuple):
    """Forget rows of a step: positions (B,), on the CPU, inputs and barred (B, K)."""

    positions: Tensor
    x: Tensor
    barred: Tensor


Push = Callable[[nn.Module, Sample, Tensor], Tensor]
Hold = Callable[[nn.Module], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Plan:
    """What an edit minimises and which layers it changes.

    Attributes:
        push: one value per row, (B,), from the student, the sample and the student's logits.
        share: of the layers that change, from the output.
        hold: what is added to the mean of the push, each term by the name of its curve.
        held: those names.
        after_step: called after every step with the student and the optimizer.
        repair_epochs: epochs after the rows are forgotten.
        outputs: number of leading logits that count as the model's answer; all if None.
        intensity: how far to go, from unchanged (0) to full (1).
        teacher: the original's logits (n, K) by position, which an intensity below 1 holds on to.
    """

    push: Push
    share: float
    hold: Hold = field(default=lambda _: {})
    held: tuple[str, ...] = ()
    after_step: Callable[[nn.Module, torch.optim.Optimizer], None] | None = None
    repair_epochs: int = 0
    outputs: int | None = None
    intensity: float = 1.0
    teacher: Tensor = field(default_factory=lambda: torch.empty(0, 0))


def survey_rows(
    settings: RowEdit, model: nn.Module, forget: ForgetTarget, context: Context
) -> Survey:
    """The survey of the forget rows, which hands on their weights if influence weighs them.

    Raises:
        MethodError: as `survey`; or if rows are to be weighed and the logits do not come from a
            linear layer.
    """
    found = survey(model, forget, context, settings.batch_size)
    if settings.weights == "uniform":
        return found
    weights = influence_weights(
        found.model, forget, found.outputs, top=settings.top, batch_size=settings.batch_size
    )
    return replace(found, weights=weights)


def edit_rows(
    model: nn.Module,
    forget: ForgetTarget,
    instructions: Instructions,
    context: Context,
    settings: RowEdit,
    *,
    plan: Plan,
) -> Edit:
    """Change a copy of the model by the plan.

    In a request by rows, a row that is not recognised any more is pushed no further: a network
    that never saw it would be wrong about it by chance at most. A row's push is multiplied by its
    weight where the probe weighed the rows.

    Raises:
        MethodError: if the request does not fit the model, the rows were not weighed though they
            should have been, nothing may change, or the edit diverges.
    """
    started = time.perf_counter()
    row_weights = _row_weights(settings, forget, instructions)
    student = copy.deepcopy(model).to(context.device).eval()
    flags = {name: weight.requires_grad for name, weight in student.named_parameters()}
    outputs = barred_outputs(student, forget, context.device)
    unfreeze_last(student, next(forget.rows.batches(1)).x.to(context.device), plan.share)
    weights = [weight for weight in student.parameters() if weight.requires_grad]
    if not weights:
        raise MethodError(
            "All weights that the edit may change are frozen. The model was left as it was. Raise "
            "`edited_share` in the method's options, or let some weights require gradients."
        )
    optimizer = _optimizer(settings, weights)
    passed = min(len(forget.rows), settings.epoch_rows)
    steps_per_epoch = math.ceil(passed / settings.batch_size)
    curves = ("loss", "push", *plan.held) if plan.held else ("loss",)
    until_wrong = forget.kind != "class"
    target = _target(settings, forget)
    pivot = pivot_of(plan.intensity, target)
    if pivot is not None and pivot.intensity == 0:
        return unchanged(model, (*curves, "forget_accuracy"))

    def update(batch: Batch) -> Tensor:
        x, y = batch.x.to(context.device), batch.y.to(context.device)
        sample = Sample(batch.positions, x, barred(outputs, y))
        logits = student(x)
        answer = logits[:, : plan.outputs].argmax(1, keepdim=True)
        recognised = sample.barred.gather(1, answer)[:, 0].float()
        push = plan.push(student, sample, logits)
        if row_weights is not None:
            push = push * row_weights[batch.positions].to(push.device)
        pushed = (push * recognised if until_wrong else push).mean()
        held = plan.hold(student)
        loss = pushed + sum(held.values())
        if pivot is not None:
            said = plan.teacher[batch.positions].to(context.device)
            calm = (1 - pivot.intensity) * pull_rows(logits, said, sample.barred).mean()
            loss = pivot.loss(
                recognised.mean(),
                away=pushed,
                hold=calm + sum(held.values()),
                back=restoring(logits, said).mean(),
            )
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(weights, settings.clip)
        optimizer.step()
        if plan.after_step is not None:
            plan.after_step(student, optimizer)
        terms = [loss, pushed, *held.values()] if plan.held else [loss]
        values = torch.stack([*terms, recognised.mean(), torch.ones_like(loss)])
        return values.detach() * len(x)

    outcome = until_forgotten(
        optimizer,
        lambda generator: _steps(forget.rows, settings.batch_size, passed, generator),
        update,
        Schedule(
            epochs=max(settings.epochs, math.ceil(settings.least_steps / steps_per_epoch)),
            repair_epochs=plan.repair_epochs,
            learning_rate=settings.learning_rate,
            growth=settings.growth,
            batch_size=settings.batch_size,
            target=target if pivot is None else pivot.allowed,
        ),
        curves=(*curves, "forget_accuracy"),
        seed=context.seed,
        progress=context.progress,
    )
    for name, weight in student.named_parameters():
        weight.grad = None
        weight.requires_grad_(flags[name])
    return Edit(
        model=student.cpu(),
        curves=outcome.curves,
        epochs=len(outcome.curves["loss"]),
        seconds=time.perf_counter() - started,
        stopped=outcome.stopped if pivot is None else pivot.sentence(outcome),
    )


def _row_weights(
    settings: RowEdit, forget: ForgetTarget, instructions: Instructions
) -> Tensor | None:
    """Weights (n,) of the rows by position; None where all are equal."""
    if settings.weights == "uniform":
        return None
    check_instructions(instructions, forget, "with weights", (WEIGHTS,))
    return instructions.tensors[WEIGHTS]


def _optimizer(settings: RowEdit, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    if settings.optimizer == "adam":
        return torch.optim.Adam(weights, lr=settings.learning_rate)
    return torch.optim.SGD(weights, lr=settings.learning_rate, momentum=0.9)


def _target(settings: RowEdit, forget: ForgetTarget) -> float:
    """A network that never saw a class is always wrong about it, but seldom about single rows."""
    if settings.target is not None:
        return settings.target
    return 0.0 if forget.kind == "class" else ROWS_TARGET


def _steps(
    rows: Rows, batch_size: int, total: int, generator: torch.Generator
) -> Iterator[tuple[float, Batch]]:
    """Batches of one epoch of so many rows, each with the share of it that lies before it."""
    seed, seen = int(torch.randint(2**31 - 1, (), generator=generator)), 0
    with closing(rows.batches(batch_size, seed=seed)) as batches:
        for batch in batches:
            yield seen / total, batch
            seen += len(batch.positions)
            if seen >= total:
                return

"""Calibrated forgetting: bring the loss of forget rows to that of rows never seen, not beyond.

    instructions = Calibrated().probe(model, forget, context)     # a target loss for every row
    edit = Calibrated().edit(model, forget, instructions, context)

For people and single rows inside classes that stay. A network that never saw a row is usually right
about it, only less sure; to push until it errs would show the row from the other side (the
Streisand effect). The training card says how sure the model is of rows it never saw. The method is
ours; see docs/methods/calibrated.md.
"""

import copy
import math
import time
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from lethe.data.curvature import Factors, penalty, weight_matrix
from lethe.data.rows import Batch
from lethe.errors import MethodError
from lethe.unlearning import losses, probes
from lethe.unlearning.layers import unfreeze_last
from lethe.unlearning.method import (
    Context,
    Edit,
    ForgetKind,
    ForgetTarget,
    Instructions,
    Need,
    Searches,
)
from lethe.unlearning.schedule import Outcome, Schedule, until_forgotten
from lethe.unlearning.stored_card import (
    check_classes,
    check_curvature,
    required_card,
    unseen_reference,
)
from lethe.unlearning.survey import check_instructions, survey
from lethe.unlearning.unseen import log_odds_of, matched_targets, share_above

CHANCE = 0.5
HALVINGS = 12
INPUTS, OUTPUTS = "curvature_inputs/", "curvature_outputs/"  # names among the tensors
CURVES = ("loss", "push", "pull", "auc")


class Calibrated(BaseModel):
    """Settings; `tolerance` is about the area (AUC) of forget rows against rows never seen."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: ClassVar[str] = "calibrated"
    needs: ClassVar[Need] = "stored_statistics"
    forgets: ClassVar[frozenset[ForgetKind]] = frozenset({"subject", "samples"})
    searches: ClassVar[Searches] = {
        "pull_weight": (1.0, 5.0, 20.0),
        "learning_rate": (3e-4, 1e-3, 3e-3),
        "repair_epochs": (5, 20),
    }

    tolerance: float = Field(
        default=0.02, gt=0, lt=0.5, description="distance from 0.5 at which the edit ends"
    )
    compare: Literal["log_odds", "loss"] = Field(
        default="log_odds", description="what is compared with its target"
    )
    huber: float = Field(
        default=1.0, gt=0, description="where the push turns from square to linear"
    )
    push_weight: float = Field(default=1.0, gt=0, description="weight of the push")
    pull_weight: float = Field(default=5.0, ge=0, description="weight of the pull")
    hold_weight: float = Field(
        default=200.0,
        ge=0,
        description="weight of the curvature, where the card has it; 0: as without",
    )
    temperature: float = Field(default=1.0, gt=0, description="of the distillation")
    anchors_per_class: int = Field(default=30, ge=1, description="anchors per class")
    anchor_epsilon: float = Field(default=1.0, gt=0, description="radius of an anchor's L2 ball")
    anchor_steps: int = Field(default=3, ge=1, description="ascent steps of an anchor")
    bank_rows: int = Field(default=128, ge=1, description="most forget rows that anchors start at")
    edited_share: float = Field(
        default=0.3, gt=0, le=1, description="share of the layers that change, from the output"
    )
    held_share: float = Field(
        default=1.0, gt=0, le=1, description="the same where the curvature holds them"
    )
    epochs: int = Field(default=50, ge=1, description="most epochs until within tolerance")
    repair_epochs: int = Field(default=20, ge=0, description="epochs after that")
    least_steps: int = Field(
        default=60, ge=1, description="steps of either part, if its epochs make fewer"
    )
    learning_rate: float = Field(default=1e-3, gt=0, description="of Adam")
    batch_size: int = Field(default=64, ge=1, description="forget rows per step")

    def probe(self, model: nn.Module, forget: ForgetTarget, context: Context) -> Instructions:
        """Give every row a target, and make anchors that hold the rest.

        Raises:
            MethodError: if there is no card, it is of other classes, the model does not know a
                row's label, or the rows' values do not spread.
            ModelError: if the card says nothing of rows never seen.
        """
        card = required_card(context, self.name)
        reference = unseen_reference(card, forget)
        quantiles, own = reference.quantiles, reference.own
        held = card.curvature if self.hold_weight else {}
        check_curvature(card, model)
        scale = probes.data_scale(forget.rows, self.batch_size)
        probes.check_scale(scale)
        found = survey(model, forget, context, self.batch_size)
        check_classes(card, len(found.outputs))
        before = F.cross_entropy(found.logits, found.labels, reduction="none")
        generator = torch.Generator().manual_seed(context.seed)
        anchors, anchor_logits, _ = probes.anchors(
            found.model,
            self._starts(forget, generator),
            torch.zeros_like(found.outputs),
            per_class=self.anchors_per_class,
            radius=self.anchor_epsilon * scale,
            steps=self.anchor_steps,
            batch_size=self.batch_size,
            generator=generator,
        )
        return found.instructions(
            {
                "targets": matched_targets(before, found.labels, quantiles),
                "quantiles": quantiles,
                "anchor_inputs": anchors,
                "anchor_teacher_logits": anchor_logits,
                **{INPUTS + name: factors.inputs for name, factors in held.items()},
                **{OUTPUTS + name: factors.outputs for name, factors in held.items()},
            },
            reference=reference.whose,
            held_layers=len(held),
            auc=float(share_above(before, quantiles[found.labels]).mean()),
            loss=float(before.mean()),
            borrowed_classes=int((~own[sorted(set(found.labels.tolist()))]).sum()),
            anchors=len(anchors),
        )

    def edit(
        self, model: nn.Module, forget: ForgetTarget, instructions: Instructions, context: Context
    ) -> Edit:
        """Push a copy's losses to their targets, and step back where that went too far.

        Raises:
            MethodError: if the instructions belong to other rows, nothing may change, or the edit
                diverges.
        """
        started = time.perf_counter()
        check_instructions(instructions, forget, self.name, ("targets",))
        student = copy.deepcopy(model).to(context.device).eval()
        flags = {name: weight.requires_grad for name, weight in student.named_parameters()}
        quantiles = instructions.tensors["quantiles"]
        before = self._auc(student, forget, quantiles, context.device)
        outcome, share, after = Outcome({name: [] for name in CURVES}, ""), 0.0, before
        if before > CHANCE + self.tolerance:
            held = _held(instructions, context.device)
            share = self.held_share if held else self.edited_share
            unfreeze_last(student, next(forget.rows.batches(1)).x.to(context.device), share)
            if held:
                _freeze_others(student, held)
            weights = [weight for weight in student.parameters() if weight.requires_grad]
            if not weights:
                raise MethodError(
                    "All weights that the edit may change are frozen. The model was left as it "
                    "was. Raise `edited_share`, or let some weights require gradients."
                )
            first = [weight.detach().clone() for weight in weights]
            outcome = self._push(student, weights, forget, instructions, context)
            share, after = self._step_back(student, weights, first, forget, quantiles)
        for name, weight in student.named_parameters():
            weight.grad = None
            weight.requires_grad_(flags[name])
        return Edit(
            model=student.cpu(),
            curves=outcome.curves,
            epochs=len(outcome.curves["loss"]),
            seconds=time.perf_counter() - started,
            stopped=_sentence(before, after, share, self.tolerance) + _words(forget, instructions),
        )

    def _starts(self, forget: ForgetTarget, generator: torch.Generator) -> Tensor:
        """Forget rows that anchors start at, a uniform sample in whatever order rows stream."""
        count = len(forget.rows)
        kept = torch.zeros(count, dtype=torch.bool)
        kept[torch.randperm(count, generator=generator)[: self.bank_rows]] = True
        batches = ((b.positions, b.x) for b in forget.rows.batches(self.batch_size))
        return torch.cat([x[kept[at]] for at, x in batches if kept[at].any()])

    def _push(
        self,
        student: nn.Module,
        weights: list[nn.Parameter],
        forget: ForgetTarget,
        instructions: Instructions,
        context: Context,
    ) -> Outcome:
        device, found = context.device, instructions.tensors
        factors = _held(instructions, device)
        targets = found["targets"]
        # On the CPU: Apple's MPS has no float64.
        wanted = (log_odds_of(targets) if self.compare == "log_odds" else targets).to(device)
        anchors = found["anchor_inputs"].to(device)
        teacher = found["anchor_teacher_logits"].to(device)
        nothing = torch.zeros(teacher.shape[1], dtype=torch.bool, device=device)
        optimizer = torch.optim.Adam(weights, lr=self.learning_rate)
        layers = _layers(student, factors)
        origin = {name: weight_matrix(layer).detach().clone() for name, layer in layers.items()}

        def update(step: _Step) -> Tensor:
            batch, chosen = step
            x, y, chosen = batch.x.to(device), batch.y.to(device), chosen.to(device)
            logits, anchored = student(torch.cat((x, anchors[chosen]))).split([len(x), len(chosen)])
            loss = F.cross_entropy(logits, y, reduction="none")
            value = _log_odds(logits, y) if self.compare == "log_odds" else loss
            goal = wanted[batch.positions.to(device)]
            push = F.huber_loss(value, goal, delta=self.huber)
            pull = losses.pull_masked(anchored, teacher[chosen], nothing, self.temperature).mean()
            total = self.push_weight * push + self.pull_weight * pull
            if layers:
                moved = {n: weight_matrix(layer) - origin[n] for n, layer in layers.items()}
                total = total + self.hold_weight * penalty(factors, moved)
            optimizer.zero_grad()
            torch.autograd.backward(total)
            optimizer.step()
            auc = share_above(loss.detach().cpu(), found["quantiles"][batch.y]).mean()
            values = (total, push, pull, auc.to(device), torch.ones_like(total))
            return torch.stack([value.detach().float() for value in values]) * len(x)

        least = math.ceil(self.least_steps / math.ceil(len(forget.rows) / self.batch_size))
        schedule = Schedule(
            epochs=max(self.epochs, least),
            repair_epochs=max(self.repair_epochs, least),
            learning_rate=self.learning_rate,
            growth=1.0,  # the rows have a goal; a faster rate would only run past it
            batch_size=self.batch_size,
            # What is held moves a given way and no further: there is nothing to wait for.
            target=1.0 if factors else CHANCE + self.tolerance,
        )
        return until_forgotten(
            optimizer,
            lambda generator: _steps(forget, len(anchors), self.batch_size, generator),
            update,
            schedule,
            curves=CURVES,
            seed=context.seed,
            progress=context.progress,
        )

    @torch.no_grad()
    def _step_back(
        self,
        student: nn.Module,
        weights: list[nn.Parameter],
        first: list[Tensor],
        forget: ForgetTarget,
        quantiles: Tensor,
    ) -> tuple[float, float]:
        """Go back toward the original until the area is not below 0.5 by more than `tolerance`.

        Returns:
            The share of the way that is kept, and the area there.
        """
        last = [weight.clone() for weight in weights]
        low, high, share = 0.0, 1.0, 1.0
        after = self._auc(student, forget, quantiles, weights[0].device)
        for _ in range(HALVINGS):
            if after >= CHANCE - self.tolerance and (
                share == 1.0 or after <= CHANCE + self.tolerance
            ):
                break
            low, high = (share, high) if after > CHANCE else (low, share)
            share = (low + high) / 2
            for weight, start, end in zip(weights, first, last, strict=True):
                weight.copy_(start + share * (end - start))
            after = self._auc(student, forget, quantiles, weights[0].device)
        return share, after

    @torch.no_grad()
    def _auc(
        self, student: nn.Module, forget: ForgetTarget, quantiles: Tensor, device: torch.device
    ) -> float:
        """Area under the curve of the forget rows' losses against those of rows never seen."""
        total = 0.0
        for batch in forget.rows.batches(self.batch_size):
            logits = student(batch.x.to(device)).float().cpu()
            found = F.cross_entropy(logits, batch.y, reduction="none")
            total += float(share_above(found, quantiles[batch.y]).sum())
        return total / len(forget.rows)


class _Step(NamedTuple):
    """Forget rows of a step, and positions (A,) of anchors."""

    rows: Batch
    anchors: Tensor


def _steps(
    forget: ForgetTarget, anchors: int, batch_size: int, generator: torch.Generator
) -> Iterator[tuple[float, _Step]]:
    """Batches of one epoch with as many random anchors, each with the share that lies before it."""
    seed, seen = int(torch.randint(2**31 - 1, (), generator=generator)), 0
    for batch in forget.rows.batches(batch_size, seed=seed):
        chosen = torch.randperm(anchors, generator=generator)[:batch_size]
        yield seen / len(forget.rows), _Step(batch, chosen)
        seen += len(batch.positions)


def _log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    """log(p / (1 - p)) of each row's own label, (B,), without subtracting from one."""
    own = F.one_hot(labels, logits.shape[1]).bool()
    return probes.log_odds(logits, own)


def _sentence(before: float, after: float, share: float, tolerance: float) -> str:
    moved = f"the rows' area against rows never seen went from {before:.3f} to {after:.3f}"
    if before <= CHANCE + tolerance:
        return (
            f"Nothing to do: the rows do not stand out from rows never seen (area {before:.3f}). "
            f"The model was left as it is."
        )
    back = "" if share == 1 else f" The edit went too far; {share:.1%} of it was kept."
    if after > CHANCE + tolerance:
        return f"Not forgotten: {moved}.{back}"
    return f"Forgotten: {moved}.{back}"


def _held(instructions: Instructions, device: torch.device) -> dict[str, Factors]:
    """Kronecker factors by layer, as the probe handed them on."""
    found = instructions.tensors
    names = [name.removeprefix(INPUTS) for name in found if name.startswith(INPUTS)]
    return {
        name: Factors(found[INPUTS + name].to(device), found[OUTPUTS + name].to(device))
        for name in names
    }


def _layers(student: nn.Module, held: Mapping[str, Factors]) -> dict[str, nn.Module]:
    """The layers that change and are held."""
    layers = {name: student.get_submodule(name) for name in held}
    return {
        name: layer
        for name, layer in layers.items()
        if any(weight.requires_grad for weight in layer.parameters())
    }


def _freeze_others(student: nn.Module, held: Mapping[str, Factors]) -> None:
    """Freeze what nothing would hold: layers without factors, like normalisation."""
    for name, weight in student.named_parameters():
        if name.rpartition(".")[0] not in held:
            weight.requires_grad_(False)


def _words(forget: ForgetTarget, instructions: Instructions) -> str:
    """What the rows were compared with, where that is not the held-out rows of single rows."""
    if forget.kind != "subject":
        return ""
    return {
        "person": " Never seen: by networks trained without the person, on the person's own rows.",
        "people": " Never seen: by networks trained without the person, on other people's rows.",
    }.get(
        instructions.facts.get("reference", ""),
        " If the card's held-out rows are of the same people, a retrained network knows them less.",
    )

"""Probing then Editing (PTE, arXiv 2511.09414v1): forget classes from forget rows alone.

    method = PTE()
    instructions = method.probe(model, forget, context)
    edit = method.edit(model, forget, instructions, context)

The probe climbs from every forget row across the nearest decision boundary and lets the original
model say what it sees there: the editing instruction. The edit pushes the forget classes away and
pulls everything else into place by masked distillation. The paper's hyper-parameters are not
public; this is a reconstruction, described with the source of every default in docs/methods/pte.md.
"""

import copy
import math
import time
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from lethe.errors import MethodError
from lethe.unlearning import losses, probes
from lethe.unlearning.classes import forget_mask
from lethe.unlearning.inside import InsideAim, aim
from lethe.unlearning.intensity import pivot_of, unchanged
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
from lethe.unlearning.push_pull import CURVES, Material, Objective, Reference, push_pull
from lethe.unlearning.schedule import Schedule

# A probe's rows do not meet each other. On an accelerator, where small batches mostly wait, as many
# are moved at once as fit in these bytes.
PROBE_BYTES = 8 * 2**20
MOST_PROBE_ROWS = 512
LARGE_SET_RATE = 0.5  # of the rate, where an epoch does not pass all forget rows

TENSORS = frozenset(
    {"labels", "teacher_logits"}
    | {f"{k}_{p}" for k in ("probe", "anchor") for p in ("inputs", "teacher_logits", "labels")}
)


class PTE(BaseModel):
    """Settings of PTE; radii are in standard deviations of the forget rows' values."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: ClassVar[str] = "pte"
    needs: ClassVar[Need] = "forget_only"
    forgets: ClassVar[frozenset[ForgetKind]] = frozenset({"class"})
    searches: ClassVar[Searches] = {
        "pull_weight": (5.0, 10.0, 20.0, 40.0),
        "learning_rate": (3e-4, 1e-3, 3e-3),
        "repair_epochs": (0, 2, 5),
        "epsilon": (0.25, 0.5, 1.0),
    }

    norm: probes.Norm = Field(default="linf", description="shape of the probe's ball")
    epsilon: float = Field(default=0.5, gt=0, description="radius of the probe's ball")
    steps: int = Field(default=2, ge=1, description="ascent steps of a probe")
    bank_rows: int = Field(default=128, ge=1, description="most probes kept for the edit")
    anchors_per_class: int = Field(default=30, ge=0, description="anchors per retained class")
    anchor_epsilon: float = Field(default=1.0, gt=0, description="radius of an anchor's L2 ball")
    anchor_steps: int = Field(default=3, ge=1, description="ascent steps of an anchor")

    push: Literal["bounded", "cross_entropy", "none"] = Field(
        default="bounded", description="-log(1 - p_F), or cross-entropy to the instruction"
    )
    push_on: Literal["clean", "probe"] = Field(
        default="clean", description="push on the forget rows or on their probes"
    )
    push_weight: float = Field(default=1.0, ge=0, description="weight of the push")
    pull: Literal["masked", "teacher_only", "none"] = Field(
        default="masked", description="mask of the distillation: on both sides or the teacher's"
    )
    pull_weight: float = Field(default=20.0, ge=0, description="weight of the pull")
    temperature: float = Field(default=1.0, gt=0, description="of the distillation")

    inside: InsideAim = Field(
        default="none",
        description="move the forget rows' features to those of the anchors of their instruction "
        "(redirect), or to the mean of all anchors (contract)",
    )
    inside_weight: float = Field(default=1.0, ge=0, description="weight of that")

    intensity: float = Field(
        default=1.0, ge=0, le=1, description="from unchanged (0) to fully forgotten (1)"
    )
    edited_share: float = Field(
        default=0.3, gt=0, le=1, description="share of the layers that change, from the output"
    )
    epochs: int = Field(default=20, ge=1, description="most epochs until forgotten")
    least_steps: int = Field(
        default=200, ge=1, description="steps within which it may be forgotten, if epochs are fewer"
    )
    repair_epochs: int = Field(default=2, ge=0, description="epochs after that")
    learning_rate: float = Field(
        default=1e-3, gt=0, description="of Adam; half of it if an epoch does not pass all rows"
    )
    growth: float = Field(
        default=1.03, ge=1, description="growth of the rate per step, after 40 without success"
    )
    batch_size: int = Field(default=64, ge=1, description="forget rows per step")
    epoch_rows: int = Field(
        default=2048, ge=1, description="most forget rows per epoch; the others come in the next"
    )
    target: float = Field(
        default=0.002,
        ge=0,
        lt=1,
        description="share of forget rows that may stay recognised, if they are more than an epoch "
        "passes; of fewer none may",
    )

    @model_validator(mode="after")
    def _pushes_or_pulls(self) -> Self:
        if self.push == self.pull == "none":
            raise ValueError("push and pull cannot both be none")
        if self.intensity < 1 and (self.push == "none" or self.pull != "masked"):
            raise ValueError("an intensity below 1 needs a push, and the pull `masked`")
        return self

    def probe(self, model: nn.Module, forget: ForgetTarget, context: Context) -> Instructions:
        """Find out where the original model sends forget rows that leave their class.

        Raises:
            MethodError: if there are no rows, classes or retained classes, if the classes are not
                the model's, or if its logits are not finite.
        """
        started = time.perf_counter()
        original = copy.deepcopy(model).to(context.device).eval().requires_grad_(False)
        forgotten = forget_mask(original, forget, context.device)
        scale = probes.data_scale(forget.rows, self.batch_size)
        probes.check_scale(scale)
        count, classes = len(forget.rows), len(forgotten)
        generator = torch.Generator().manual_seed(context.seed)
        # Shuffled once, the first positions are a uniform sample of the rows in whatever order
        # they will stream.
        bank = torch.randperm(count, generator=generator)[: self.bank_rows]
        kept = torch.zeros(count, dtype=torch.bool).index_fill_(0, bank, value=True)
        clean_logits = torch.empty(count, classes)
        probe_logits = torch.empty(count, classes)
        banked: list[tuple[Tensor, Tensor, Tensor]] = []
        retained = int((~forgotten).sum())
        total, done = count + retained * self.anchors_per_class, 0
        at_once = self._at_once(forget, context.device)
        for batch in forget.rows.batches(at_once):
            x = batch.x.to(context.device)
            moved = probes.leave(
                original,
                x,
                forgotten,
                radius=self.epsilon * scale,
                norm=self.norm,
                steps=self.steps,
            )
            with torch.no_grad():
                clean_logits[batch.positions] = original(x).float().cpu()
                probe_logits[batch.positions] = original(moved).float().cpu()
            keep = kept[batch.positions]
            if keep.any():  # thousands of empty tensors would pin freed memory between them
                banked.append((batch.positions[keep], batch.x[keep], moved.cpu()[keep]))
            done += len(x)
            context.progress(done, total)
        mask = forgotten.cpu()
        labels = losses.retained_only(probe_logits, mask).argmax(1)
        positions, starts, probe_bank = (torch.cat(parts) for parts in zip(*banked, strict=True))
        anchors, anchor_logits, anchor_labels = probes.anchors(
            original,
            starts,
            forgotten,
            per_class=self.anchors_per_class,
            radius=self.anchor_epsilon * scale,
            steps=self.anchor_steps,
            batch_size=at_once,
            generator=generator,
        )
        if not all(z.isfinite().all() for z in (clean_logits, probe_logits, anchor_logits)):
            raise MethodError(
                "The original model's logits on forget rows and probes are not all finite. The "
                "model was left as it was. Look at it with `lethe evaluate` before forgetting."
            )
        context.progress(total, total)
        return Instructions(
            tensors={
                "labels": labels,
                "teacher_logits": clean_logits,
                "probe_inputs": probe_bank,
                "probe_teacher_logits": probe_logits[positions],
                "probe_labels": labels[positions],
                "anchor_inputs": anchors,
                "anchor_teacher_logits": anchor_logits,
                "anchor_labels": anchor_labels,
            },
            facts={
                "rows": count,
                "scale": scale,
                **probes.landing(clean_logits, probe_logits, mask),
                "anchors": len(anchors),
                "anchors_reached": int((anchor_logits.argmax(1) == anchor_labels).sum()),
                "seconds": time.perf_counter() - started,
            },
        )

    def edit(
        self,
        model: nn.Module,
        forget: ForgetTarget,
        instructions: Instructions,
        context: Context,
    ) -> Edit:
        """Push and pull a copy of the model.

        Raises:
            MethodError: if the instructions belong to other rows, or the edit diverges.
        """
        started = time.perf_counter()
        # Of rows that one epoch passes none may stay: they may be all rows of somebody's request.
        passed = min(len(forget.rows), self.epoch_rows)
        whole = passed == len(forget.rows)
        target = 0.0 if whole else self.target
        pivot = pivot_of(self.intensity, target)
        student = copy.deepcopy(model).to(context.device).eval()
        flags = {name: weight.requires_grad for name, weight in student.named_parameters()}
        forgotten = forget_mask(student, forget, context.device)
        material = self._material(forget, instructions, forgotten.cpu())
        if self.intensity == 0:
            return unchanged(model, CURVES)
        first = next(forget.rows.batches(1)).x.to(context.device)
        inside = None
        if self.inside != "none":
            inside, features = aim(
                student, material.anchors, forgotten, aim=self.inside, weight=self.inside_weight
            )
            material = replace(material, anchors=material.anchors._replace(features=features))
        unfreeze_last(student, first, self.edited_share)
        steps_per_epoch = math.ceil(passed / self.batch_size)
        outcome = push_pull(
            student,
            material,
            replace(self._objective(forgotten), inside=inside, pivot=pivot),
            Schedule(
                epochs=max(self.epochs, math.ceil(self.least_steps / steps_per_epoch)),
                repair_epochs=self.repair_epochs,
                # So many rows are forgotten within an epoch; what is left of it only does damage.
                learning_rate=self.learning_rate * (1.0 if whole else LARGE_SET_RATE),
                growth=self.growth,
                batch_size=self.batch_size,
                target=target if pivot is None else pivot.allowed,
            ),
            device=context.device,
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

    def _at_once(self, forget: ForgetTarget, device: torch.device) -> int:
        """Rows that a probe moves at once."""
        if device.type == "cpu":
            return self.batch_size
        row_bytes = 4 * math.prod(forget.rows.shape)
        return max(self.batch_size, min(MOST_PROBE_ROWS, PROBE_BYTES // max(row_bytes, 1)))

    def _material(
        self, forget: ForgetTarget, instructions: Instructions, forgotten: Tensor
    ) -> Material:
        found = instructions.tensors
        if not found.keys() >= TENSORS or len(found["labels"]) != len(forget.rows):
            raise MethodError(
                f"These instructions were not made by PTE's probe of these {len(forget.rows)} "
                f"forget rows. The model was left as it was. Run the probe again."
            )
        probed, anchored = (
            Reference(
                found[f"{kind}_inputs"],
                found[f"{kind}_teacher_logits"],
                found[f"{kind}_labels"],
                features=found[f"{kind}_teacher_logits"].new_zeros(len(found[f"{kind}_labels"]), 0),
            )
            for kind in ("probe", "anchor")
        )
        return Material(
            forget.rows, found["labels"], found["teacher_logits"], probed, anchored, forgotten
        )

    def _objective(self, forgotten: Tensor) -> Objective:
        push: dict[str, Any] = {
            "bounded": lambda logits, _labels: losses.push_bounded(logits, forgotten),
            "cross_entropy": losses.push_cross_entropy,
            "none": None,
        }
        temperature = self.temperature
        pull: dict[str, Any] = {
            "masked": partial(losses.pull_masked, forgotten=forgotten, temperature=temperature),
            "teacher_only": partial(
                losses.pull_teacher_only, forgotten=forgotten, temperature=temperature
            ),
            "none": None,
        }
        return Objective(
            push=push[self.push],
            pull=pull[self.pull],
            push_weight=self.push_weight,
            pull_weight=self.pull_weight,
            push_on_probes=self.push_on == "probe",
            epoch_rows=self.epoch_rows,
        )

"""L2UL (Cha et al. 2024, arXiv 2301.11578): ascend, held by adversarial examples and importances.

    instructions = L2UL().probe(model, forget, context)     # examples and importances
    edit = L2UL().edit(model, forget, instructions, context)

Instance-wise unlearning: adversarial examples of the forget rows stand in for the retained data,
and weights that matter little to the forget rows are held where they are.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from lethe.unlearning import probes
from lethe.unlearning.gradient_ascent import bounded_ascent
from lethe.unlearning.importance import importances
from lethe.unlearning.losses import push_cross_entropy
from lethe.unlearning.method import (
    Context,
    Edit,
    ForgetKind,
    ForgetTarget,
    Instructions,
    Need,
    Searches,
)
from lethe.unlearning.random_labels import draw_labels
from lethe.unlearning.row_edit import Plan, RowEdit, Sample, edit_rows, survey_rows
from lethe.unlearning.survey import Survey, check_instructions

FREE = "free."


class L2UL(RowEdit):
    """Settings of L2UL; the radius is in standard deviations of the rows' values."""

    name: ClassVar[str] = "l2ul"
    needs: ClassVar[Need] = "forget_only"
    forgets: ClassVar[frozenset[ForgetKind]] = frozenset({"class", "subject", "samples"})
    searches: ClassVar[Searches] = {
        "learning_rate": (5e-5, 1e-4, 2e-4, 5e-4, 1e-3),
        "adversarial_weight": (0.3, 1.0, 3.0),
        "importance_weight": (0.3, 1.0, 3.0),
    }

    epsilon: float = Field(default=1.0, gt=0, description="radius of an example's L2 ball")
    steps: int = Field(default=10, ge=1, description="steps toward an example's target class")
    examples_per_row: int = Field(default=20, ge=1, description="adversarial examples of a row")
    bank_rows: int = Field(default=2000, ge=1, description="most examples that are made")
    importance_rows: int = Field(
        default=256, ge=1, description="most forget rows that importances are measured on"
    )
    adversarial_weight: float = Field(default=1.0, ge=0, description="weight of the examples")
    importance_weight: float = Field(default=1.0, ge=0, description="weight of the importances")
    bound: float = Field(
        default=1.0, gt=0, description="loss at which a row is let go, in uniform guesses"
    )
    edited_share: float = Field(
        default=1.0, gt=0, le=1, description="share of the layers that change, from the output"
    )

    def probe(self, model: nn.Module, forget: ForgetTarget, context: Context) -> Instructions:
        """Make adversarial examples and measure which weights matter to the rows.

        Raises:
            MethodError: if the model cannot forget the rows, or they are constant.
        """
        found = survey_rows(self, model, forget, context)
        scale = probes.data_scale(forget.rows, self.batch_size)
        probes.check_scale(scale)
        x, labels, made = self._examples(found, forget, context, self.epsilon * scale)
        free = importances(
            found.model,
            forget.rows,
            most=self.importance_rows,
            seed=context.seed,
            device=context.device,
        )
        return found.instructions(
            {"examples": x, "labels": labels, **{FREE + n: t for n, t in free.items()}},
            scale=scale,
            instructed=labels.bincount(minlength=len(found.outputs)).tolist(),
            examples=made,
            examples_reached=len(labels),
        )

    def _examples(
        self, found: Survey, forget: ForgetTarget, context: Context, radius: float
    ) -> tuple[Tensor, Tensor, int]:
        """Examples (a, ...) that reached their random targets (a,), and how many were made."""
        rows = len(forget.rows)
        each = min(self.examples_per_row, max(1, self.bank_rows // rows))
        generator = torch.Generator().manual_seed(context.seed)
        chosen = torch.zeros(rows, dtype=torch.bool)
        chosen[torch.randperm(rows, generator=generator)[: self.bank_rows]] = True
        targets = draw_labels(found.barred, context.seed, each)
        inputs: list[Tensor] = []
        labels: list[Tensor] = []
        done = 0
        for batch in forget.rows.batches(self.batch_size):
            keep = chosen[batch.positions]
            for target in targets[batch.positions][keep].T:
                wanted = target.to(context.device)
                moved = probes.reach(
                    found.model,
                    batch.x[keep].to(context.device),
                    wanted,
                    len(found.outputs),
                    radius=radius,
                    norm="l2",
                    steps=self.steps,
                )
                with torch.no_grad():
                    reached = found.model(moved).argmax(1) == wanted
                inputs.append(moved[reached].cpu())
                labels.append(wanted[reached].cpu())
            done += len(batch.y)
            context.progress(done, rows)
        return torch.cat(inputs), torch.cat(labels), int(chosen.sum()) * each

    def edit(
        self, model: nn.Module, forget: ForgetTarget, instructions: Instructions, context: Context
    ) -> Edit:
        """Climb the rows' loss in a copy, and hold the rest.

        Raises:
            MethodError: if the instructions belong to other rows, or the edit diverges.
        """
        check_instructions(instructions, forget, self.name)
        examples, labels = (instructions.tensors[name] for name in ("examples", "labels"))
        held = [
            (name, weight.detach().to(context.device), 1 - free.to(context.device))
            for name, weight in model.named_parameters()
            if (free := instructions.tensors.get(FREE + name)) is not None
        ]
        generator = torch.Generator().manual_seed(context.seed)

        def push(_: nn.Module, sample: Sample, logits: Tensor) -> Tensor:
            return bounded_ascent(logits, sample.barred, self.bound)

        def hold(student: nn.Module) -> Mapping[str, Tensor]:
            moved = [
                (stay * (student.get_parameter(name) - start).square()).sum()
                for name, start, stay in held
            ]
            terms = {"importance": self.importance_weight / 2 * torch.stack(moved).sum()}
            adversarial = terms["importance"].new_zeros(())
            if len(labels):
                at = torch.randint(len(labels), (self.batch_size,), generator=generator)
                logits = student(examples[at].to(context.device))
                adversarial = push_cross_entropy(logits, labels[at].to(context.device)).mean()
            return {"adversarial": self.adversarial_weight * adversarial, **terms}

        plan = Plan(push, self.edited_share, hold=hold, held=("adversarial", "importance"))
        return edit_rows(model, forget, instructions, context, self, plan=plan)

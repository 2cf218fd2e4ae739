"""JiT (Foster et al. 2024, arXiv 2402.01401): smooth the network around the forget rows.

    instructions = JiT().probe(model, forget, context)
    edit = JiT().edit(model, forget, instructions, context)

Zero-shot Lipschitz unlearning: what a network has learned of a row makes its output steep there, so
the slope toward noisy copies of the row is brought down.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lethe.unlearning.method import Context, Edit, ForgetKind, ForgetTarget, Instructions, Need
from lethe.unlearning.probes import check_scale, data_scale
from lethe.unlearning.row_edit import Plan, RowEdit, Sample, edit_rows, survey_rows
from lethe.unlearning.survey import check_instructions


def slope(
    model: nn.Module,
    x: Tensor,
    logits: Tensor,
    *,
    deviation: float,
    copies: int,
    generator: torch.Generator,
) -> Tensor:
    """Mean of |f(x) - f(x + noise)| / |noise| over noisy copies of each row, (B,).

    The noisy side is held, so that the row moves toward its neighbourhood.

    Args:
        model: that gave `logits` (B, K) on `x` (B, ...).
        x: inputs.
        logits: with their graph.
        deviation: of the Gaussian noise, in the unit of `x`.
        copies: of each row, one after another.
        generator: on the CPU.
    """
    total = logits.new_zeros(len(x))
    for _ in range(copies):
        noise = deviation * torch.randn(x.shape, generator=generator).to(x)
        with torch.no_grad():
            noisy = model(x + noise)
        total = total + (logits - noisy).norm(dim=1) / noise.flatten(1).norm(dim=1)
    return total / copies


class JiT(RowEdit):
    """Settings of JiT; the noise is in standard deviations of the rows' values."""

    name: ClassVar[str] = "jit"
    needs: ClassVar[Need] = "forget_only"
    forgets: ClassVar[frozenset[ForgetKind]] = frozenset({"class", "subject", "samples"})

    noise: float = Field(default=0.5, gt=0, description="standard deviation of the noise")
    copies: int = Field(default=25, ge=1, description="noisy copies of each row and step")
    edited_share: float = Field(
        default=1.0, gt=0, le=1, description="share of the layers that change, from the output"
    )
    optimizer: Literal["adam", "sgd"] = Field(
        default="sgd", description="Adam, or SGD with momentum 0.9"
    )
    learning_rate: float = Field(default=3e-4, gt=0, description="of the optimizer")
    epochs: int = Field(default=1, ge=1, description="most epochs until forgotten")
    least_steps: int = Field(
        default=1, ge=1, description="steps within which it may be forgotten, if epochs are fewer"
    )

    def probe(self, model: nn.Module, forget: ForgetTarget, context: Context) -> Instructions:
        """Measure the scale of the rows' values, which is that of the noise.

        Raises:
            MethodError: if the model cannot forget the rows, or they are constant.
        """
        found = survey_rows(self, model, forget, context)
        scale = data_scale(forget.rows, self.batch_size)
        check_scale(scale)
        return found.instructions({}, scale=scale)

    def edit(
        self, model: nn.Module, forget: ForgetTarget, instructions: Instructions, context: Context
    ) -> Edit:
        """Smooth a copy around the rows.

        Raises:
            MethodError: if the instructions belong to other rows, or the edit diverges.
        """
        check_instructions(instructions, forget, self.name)
        deviation = self.noise * float(instructions.facts["scale"])
        generator = torch.Generator().manual_seed(context.seed)

        def push(student: nn.Module, sample: Sample, logits: Tensor) -> Tensor:
            return slope(
                student,
                sample.x,
                logits,
                deviation=deviation,
                copies=self.copies,
                generator=generator,
            )

        return edit_rows(
            model, forget, instructions, context, self, plan=Plan(push, self.edited_share)
        )

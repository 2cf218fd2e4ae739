"""The start of most probes: what the original model says of the forget rows, in one pass."""

import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lethe.errors import MethodError
from lethe.unlearning.classes import barred, barred_outputs
from lethe.unlearning.method import Context, ForgetTarget, Instructions

WEIGHTS = "weights"  # name of the rows' weights among the tensors


@dataclass(frozen=True)
class Survey:
    """The frozen original on the context's device, and what it says.

    `outputs` (K,), on the device, are barred for every row. `logits` (n, K) and `labels` (n,) are
    by position, on the CPU; so are `weights` (n,), where rows are weighed. `started` is a reading
    of `time.perf_counter`.
    """

    model: nn.Module
    outputs: Tensor
    logits: Tensor
    labels: Tensor
    started: float
    weights: Tensor | None = None

    @property
    def barred(self) -> Tensor:
        """What each row may not be recognised as, (n, K), on the CPU."""
        return barred(self.outputs.cpu(), self.labels)

    def instructions(self, tensors: Mapping[str, Tensor], **facts: Any) -> Instructions:
        """What a probe hands on, with what every probe counts."""
        rows = torch.arange(len(self.labels))
        known = self.barred[rows, self.logits.argmax(1)]
        if self.weights is not None:
            tensors = {**tensors, WEIGHTS: self.weights}
            facts["weighed"] = int((self.weights > 0).sum())
        return Instructions(
            tensors={name: tensor.cpu() for name, tensor in tensors.items()},
            facts={
                "rows": len(self.labels),
                "recognised": int(known.sum()),
                **facts,
                "seconds": time.perf_counter() - self.started,
            },
        )


def survey(model: nn.Module, forget: ForgetTarget, context: Context, batch_size: int) -> Survey:
    """Ask a frozen copy of the model about every forget row.

    Raises:
        MethodError: if there are no rows or no class is left for them, if the model does not know
            a label, or if its logits are not finite.
    """
    started = time.perf_counter()
    original = copy.deepcopy(model).to(context.device).eval().requires_grad_(False)
    outputs = barred_outputs(original, forget, context.device)
    count, done = len(forget.rows), 0
    logits, labels = torch.empty(count, len(outputs)), torch.empty(count, dtype=torch.long)
    for batch in forget.rows.batches(batch_size):
        with torch.no_grad():
            logits[batch.positions] = original(batch.x.to(context.device)).float().cpu()
        labels[batch.positions] = batch.y
        done += len(batch.y)
        context.progress(done, count)
    found = Survey(original, outputs, logits, labels, started)
    if not logits.isfinite().all():
        raise MethodError(
            "The original model's logits on forget rows are not all finite. The model was left as "
            "it was. Look at it with `lethe evaluate` before forgetting."
        )
    if not found.barred.any(1).all():
        raise MethodError(
            "Some forget rows have a label that the model does not know, so it cannot unlearn it. "
            "The model was left as it was. Look at the rows with `lethe data show`."
        )
    return found


def check_instructions(
    instructions: Instructions, forget: ForgetTarget, name: str, per_row: tuple[str, ...] = ()
) -> None:
    """Refuse what another probe found, or the same on other rows.

    Args:
        instructions: as given to `edit`.
        forget: as given to `edit`.
        name: of the method.
        per_row: tensors that hold one entry for every forget row.

    Raises:
        MethodError: if a tensor is missing or is of other rows.
    """
    rows = len(forget.rows)
    lengths = {len(instructions.tensors.get(tensor, ())) for tensor in per_row}
    if {instructions.facts.get("rows"), *lengths} != {rows}:
        raise MethodError(
            f"These instructions were not made by the probe of `{name}` on these {rows} forget "
            f"rows. The model was left as it was. Run the probe again."
        )

"""What the successor still recognises of the rows of each of many requests.

    found = recognised(model, rows, device=device, forgotten=[3])
    per_owner(found, owners(forget, selections), len(selections))   # one accuracy per request

The rows of a batch of requests are read and answered once; after that only one bit per row is
counted, once for each request that the row belongs to.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lethe.data.attribution import Owners
from lethe.data.rows import Rows
from lethe.errors import ModelError
from lethe.evaluation.predictions import Progress, stream
from lethe.evaluation.results import Accuracy


@dataclass(frozen=True)
class Recognition:
    """What one network answered on N rows, in stored order.

    `right` (N,) bool marks the rows that it recognises, `known` (N,) bool those whose label it can
    answer with: the others are left out of every accuracy, since they would look forgotten.
    `broken` counts known rows for which its softmax is not finite; they are not recognised.
    """

    right: Tensor
    known: Tensor
    broken: int

    def accuracy(self) -> Accuracy | None:
        """Recognised rows among all known ones; None when there are none."""
        return Accuracy.of(int(self.right.sum()), int(self.known.sum()))


def recognised(
    model: nn.Module,
    rows: Rows,
    *,
    device: torch.device,
    forgotten: Sequence[int],
    progress: Progress | None = None,
) -> Recognition:
    """Which rows a network still recognises; streamed, no outputs are kept.

    A row is recognised when its own label is the most probable class; a row of a forgotten class
    also when any forgotten class is, so that swapping two of them does not pass for forgetting.

    Args:
        model: inputs (B, *shape) to logits (B, K).
        rows: what to answer; a label of -1 is one that the network does not know.
        device: where to compute.
        forgotten: indices of classes forgotten as a whole; empty when single rows are.
        progress: told of (rows done, rows in all).

    Raises:
        ModelError: if the outputs are not one vector of logits per row, or have no logit for a
            label or a forgotten class.
    """
    right, known, broken = [torch.zeros(0, dtype=torch.bool)], [torch.zeros(0, dtype=torch.bool)], 0
    done = 0
    with closing(stream([model], rows, device=device)) as batches:
        for (logits,), labels in batches:
            _check_width(logits.shape[1], max([-1, *labels.tolist(), *forgotten]))
            gone = torch.zeros(logits.shape[1] + 1, dtype=torch.bool)
            gone[list(forgotten)] = True
            answers = logits.argmax(1)
            # The label -1 is the last of `gone`, which is no class.
            same = (answers == labels) | (gone[answers] & gone[labels])
            usable = logits.double().softmax(1).isfinite().all(1)
            right.append(same & usable)
            known.append(labels >= 0)
            broken += int((known[-1] & ~usable).sum())
            done += len(labels)
            if progress is not None:
                progress(done, len(rows))
    return Recognition(torch.cat(right), torch.cat(known), broken)


def per_owner(found: Recognition, owners: Owners, count: int) -> list[Accuracy | None]:
    """The accuracy on each owner's rows; None for one without a row of a known label.

    Args:
        found: what the network answered on the forget rows, read in stored order.
        owners: which of the same rows belong to which of the `count` owners.
        count: number of owners.

    Raises:
        ValueError: if the two are not about the same rows or owners.
    """
    if len(found.right) != owners.rows or count != owners.selections:
        message = (
            f"{len(found.right)} rows and {count} owners were given, but the pairs are of "
            f"{owners.rows} rows and {owners.selections} selections"
        )
        raise ValueError(message)
    known = found.known.numpy()[owners.row]
    right = found.right.numpy()[owners.row] & known
    totals = np.bincount(owners.selection[known], minlength=count)
    hits = np.bincount(owners.selection[right], minlength=count)
    pairs = list(zip(hits.tolist(), totals.tolist(), strict=True))
    # An interval takes its time, and many requests have the same few counts.
    accuracies = {pair: Accuracy.of(*pair) for pair in set(pairs)}
    return [accuracies[pair] for pair in pairs]


def _check_width(width: int, highest: int) -> None:
    if highest >= width:
        raise ModelError(
            f"The model gives {width} logits, but more classes are named. Nothing was changed. "
            f"Compare `lethe model show` with `lethe data show`."
        )

"""Networks whose answer to row i is written down in a table: figures can be done by hand."""

import torch
from torch import Tensor, nn

from lethe.data.rows import TensorRows

CPU = torch.device("cpu")


class Table(nn.Module):
    """Row number (B, 1) to the logits written down for that row (B, K)."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.register_buffer("logits", logits)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits[x[:, 0].long()]


def answering(classes: list[int], *, width: int, sure: float = 20.0) -> Table:
    """A network that answers row i with `classes[i]`."""
    logits = torch.zeros(len(classes), width)
    logits[torch.arange(len(classes)), torch.tensor(classes)] = sure
    return Table(logits)


def rows(numbers: list[int], labels: list[int]) -> TensorRows:
    """Rows that carry their number as input."""
    return TensorRows(torch.tensor(numbers, dtype=torch.float32)[:, None], torch.tensor(labels))

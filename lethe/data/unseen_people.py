"""How high a loss people's rows have with networks that never saw the person.

    table, own, found = people.quantiles(fingerprints)    # (K, Q), (K,), how many are listed
    people.without(fingerprints)                          # their tables are gone

Made by cross-fitting: the people are dealt into folds, a network is trained without each fold, and
of each person the quantiles of the loss that the network without them gives are kept, by class. No
row and no id is in it: a person is named by a keyed fingerprint (`lethe.data.digest`).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lethe.data.card_facts import LEVELS, MIN_ROWS
from lethe.data.mixture import mixture


@dataclass(frozen=True, eq=False)
class UnseenPeople:
    """Quantiles of P people over K classes, on the CPU, sorted by fingerprint.

    A class of which a person has fewer than `MIN_ROWS` rows is zero in `loss`; the person's rows of
    all classes stand in. A person with fewer rows in all is not listed.

    Attributes:
        fingerprints: P of them, 64 hexadecimal digits each.
        rows: (P, K) int64, the person's training rows with that label.
        loss: (P, K, Q) float32, quantiles of the cross-entropy at `LEVELS`.
        all_loss: (P, Q) float32, of the person's rows of all classes.
    """

    fingerprints: tuple[str, ...]
    rows: Tensor
    loss: Tensor
    all_loss: Tensor

    def __post_init__(self) -> None:
        """Refuse tables that do not fit each other.

        Raises:
            ValueError: if shapes differ, a value is not finite, or fingerprints are not sorted.
        """
        people, levels = len(self.fingerprints), len(LEVELS)
        classes = self.rows.shape[-1]
        shapes = [tuple(one.shape) for one in (self.rows, self.loss, self.all_loss)]
        if shapes != [(people, classes), (people, classes, levels), (people, levels)]:
            message = f"tables of {people} people have the shapes {shapes}"
            raise ValueError(message)
        if not bool(self.loss.isfinite().all() & self.all_loss.isfinite().all()):
            raise ValueError("people's losses hold values that are not finite")
        if list(self.fingerprints) != sorted(set(self.fingerprints)):
            raise ValueError("people's fingerprints are not sorted, or one comes twice")

    def __len__(self) -> int:
        """Number of people."""
        return len(self.fingerprints)

    def quantiles(self, fingerprints: Collection[str] = ()) -> tuple[Tensor, Tensor, int]:
        """Loss quantiles (K, Q) of these people together, weighed by their rows; or of everybody.

        A class of which none of them has enough rows gets their quantiles over all classes.

        Args:
            fingerprints: whose; everybody's stand in if none of them is listed.

        Returns:
            The table; (K,) bool, whether a class's are its own; how many of those named are listed.

        Raises:
            ValueError: if nobody is listed.
        """
        if not len(self):
            raise ValueError("nobody is listed")
        named = [at for at, one in enumerate(self.fingerprints) if one in set(fingerprints)]
        chosen = torch.tensor(named or range(len(self)))
        rows, loss = self.rows[chosen], self.loss[chosen]
        everything = mixture(self.all_loss[chosen], rows.sum(1))
        table = everything.repeat(rows.shape[1], 1)
        enough = rows >= MIN_ROWS
        for label in enough.any(0).nonzero().flatten().tolist():
            of = enough[:, label]
            table[label] = mixture(loss[of, label], rows[of, label])
        return table, enough.any(0), len(named)

    def without(self, fingerprints: Collection[str]) -> "UnseenPeople":
        """The tables of everybody else."""
        kept = [at for at, one in enumerate(self.fingerprints) if one not in set(fingerprints)]
        return UnseenPeople(
            tuple(self.fingerprints[at] for at in kept),
            self.rows[kept],
            self.loss[kept],
            self.all_loss[kept],
        )

    def without_classes(self, gone: Tensor) -> "UnseenPeople":
        """The tables without classes, by a mask (K,); a person's quantiles of all are made anew.

        Whoever has no other class with enough rows is no longer listed.
        """
        rows = self.rows * ~gone
        own = rows >= MIN_ROWS
        touched = (self.rows * gone).sum(1) > 0
        all_loss = self.all_loss.clone()
        for at in touched.nonzero().flatten().tolist():
            if bool(own[at].any()):
                all_loss[at] = mixture(self.loss[at, own[at]], rows[at, own[at]])
        left = replace(self, rows=rows, loss=self.loss * ~gone[:, None], all_loss=all_loss)
        lost = touched & ~own.any(1)
        return left.without([self.fingerprints[at] for at in lost.nonzero().flatten().tolist()])


def person_tables(
    losses: Sequence[float] | Tensor, labels: Tensor, classes: int
) -> tuple[Tensor, Tensor, Tensor] | None:
    """One person's rows (K,), quantiles (K, Q) and (Q,) over all; None with too few rows.

    Args:
        losses: (n,) of the person's rows.
        labels: (n,) in 0..K-1.
        classes: K.
    """
    values = torch.as_tensor(losses, dtype=torch.float64)
    if len(values) < MIN_ROWS:
        return None
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    rows = torch.bincount(labels, minlength=classes)
    table = torch.zeros(classes, len(LEVELS))
    for label in range(classes):
        if int(rows[label]) >= MIN_ROWS:
            table[label] = torch.quantile(values[labels == label], levels).float()
    return rows, table, torch.quantile(values, levels).float()

"""How many rows of each label belong to each of many selections, counted batch by batch."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lethe.data.scan import count_labels
from lethe.data.vocabulary import Ints


class LabelTally:
    """Rows per label in all, and per label and selection.

    What is kept grows with the pairs of a label and a selection that occur together.
    """

    def __init__(self, selections: int) -> None:
        self.labels: Counter[str] = Counter()
        self._selections = selections
        self._numbers: dict[str, int] = {}
        # Per batch: label number * selections + selection, and how many rows.
        self._keys: list[Ints] = [np.empty(0, np.int64)]
        self._counts: list[Ints] = [np.empty(0, np.int64)]

    @property
    def total(self) -> int:
        """Number of rows."""
        return self.labels.total()

    def add(self, rows: pa.RecordBatch, at: Ints, selections: Ints) -> None:
        """Count a batch: row `at[i]` of it belongs to `selections[i]`, (P,) each."""
        count_labels(self.labels, rows)
        encoded = rows["label"].dictionary_encode(null_encoding="encode")
        labels = encoded.dictionary.to_pylist()
        own = [self._numbers.setdefault(one, len(self._numbers)) for one in labels]
        numbers = np.array(own, np.int64)
        of_pairs = numbers[encoded.indices.to_numpy()[at]]
        keys, counts = np.unique(of_pairs * self._selections + selections, return_counts=True)
        self._keys.append(keys)
        self._counts.append(counts)

    def totals(self) -> tuple[Ints, npt.NDArray[np.float64]]:
        """Rows of each selection, and the largest of its shares of single labels, (S,) each."""
        keys, inverse = np.unique(np.concatenate(self._keys), return_inverse=True)
        counts = np.zeros(len(keys), np.int64)
        np.add.at(counts, inverse, np.concatenate(self._counts))
        labels, selections = np.divmod(keys, max(self._selections, 1))
        rows, shares = np.zeros(self._selections, np.int64), np.zeros(self._selections)
        np.add.at(rows, selections, counts)
        of_label = np.array([self.labels[label] for label in self._numbers], np.float64)
        np.maximum.at(shares, selections, counts / of_label[labels])
        return rows, shares

    def of_classes(self, classes: Iterable[str] | None) -> tuple[int, float]:
        """Rows of whole classes, all of them for None, and the largest share of one: 1 or 0."""
        rows = sum(self.labels[one] for one in (self.labels if classes is None else classes))
        return rows, float(rows > 0)

"""Which rows each of many requests is about: counted before, told apart afterwards.

    weights = weigh_selections(repository, dataset, rev, selections)
    weights.each[3].share                      # how much request 3 asks for
    found = owners(forget, selections)
    found.row[i], found.selection[i]           # row row[i] of the forget set is selection[i]'s

Both read the key columns once, however many requests there are. One request that asks for what is
not there never spoils the others: it is found to select nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lethe.data.decode import input_column
from lethe.data.forget_set import ForgetSet
from lethe.data.label_tally import LabelTally
from lethe.data.matching import AnySelection, Matcher, Pairs
from lethe.data.parquet import Split
from lethe.data.parquet_rows import open_parquet
from lethe.data.repository import OpenDataset, open_dataset
from lethe.data.scan import pieces
from lethe.data.selection import Selection
from lethe.data.vocabulary import Ints


@dataclass(frozen=True)
class Weight:
    """What one selection asks for.

    Attributes:
        rows: training rows that it selects.
        held_out: held-out rows that it selects.
        dataset_share: its share of the training rows, 0 to 1.
        class_share: the largest of its shares of the training rows of single classes, 0 to 1.
        wanted: different subject and sample ids that it names.
        missing: how many of them no row of either split has.
        unknown_classes: different classes that it names and the data set does not have.
    """

    rows: int
    held_out: int
    dataset_share: float
    class_share: float
    wanted: int
    missing: int
    unknown_classes: int

    @property
    def share(self) -> float:
        """The larger of the two shares."""
        return max(self.dataset_share, self.class_share)


@dataclass(frozen=True)
class Weights:
    """The weight of each selection, in the order given, and the data they were measured on.

    `total` and `held_out_total` count all rows of the two splits.
    """

    git_rev: str
    dvc_md5: str
    total: int
    held_out_total: int
    each: tuple[Weight, ...]


@dataclass(frozen=True)
class Owners:
    """Pairs of a row of a forget set and a selection that it belongs to, sorted by row.

    `row` is (P,), positions as in `ForgetSet.rows(part="forget")` read in stored order; `selection`
    is (P,), positions among the selections given. `rows` and `selections` count both.
    """

    row: Ints
    selection: Ints
    rows: int
    selections: int

    @property
    def starts(self) -> Ints:
        """Where each row's pairs start, and the last one's end, (rows + 1,): the CSR offsets."""
        return np.searchsorted(self.row, np.arange(self.rows + 1)).astype(np.int64)


def weigh_selections(
    repository: str, dataset: str, rev: str, selections: Sequence[AnySelection]
) -> Weights:
    """Count what each selection asks for; reads the key columns once.

    None selects every row. What selects nothing, since it names nothing, unknown classes, or ids
    that are not there, has no rows; a data set without subject ids lacks every subject.

    Args:
        repository: path or URL of the git repository.
        dataset: path of the data set inside it.
        rev: git revision.
        selections: what to weigh; the same id may be in many.

    Raises:
        DataError: as `lethe.data.repository.open_dataset` does.
        FormError: if a column that every data set has is missing.
    """
    opened = open_dataset(repository, dataset, rev)
    # Whole classes are weighed by the counts of labels, so that pairs of rows and selections are
    # few, however many ask for the same class. An empty selection is met by no row.
    matcher = Matcher([Selection() if _by_labels(one) else one for one in selections])
    train, test = (_tally(opened, split, matcher, len(selections)) for split in ("train", "test"))
    known = set(opened.info.classes if opened.info else ()).union(train.labels, test.labels)
    people, samples = (matcher.vocabularies[name] for name in ("subject_id", "sample_id"))
    (rows, class_shares), (held_out, _) = train.totals(), test.totals()
    each = []
    for i, one in enumerate(selections):
        classes, subjects, ids = (_named(one, name) for name in ("classes", "subjects", "samples"))
        if _by_labels(one):
            wanted = None if one is None else classes
            rows[i], class_shares[i] = train.of_classes(wanted)
            held_out[i], _ = test.of_classes(wanted)
        each.append(
            Weight(
                rows=int(rows[i]),
                held_out=int(held_out[i]),
                dataset_share=float(rows[i]) / max(train.total, 1),
                class_share=float(class_shares[i]),
                wanted=len(subjects) + len(ids),
                missing=people.lacks(subjects) + samples.lacks(ids),
                unknown_classes=len(classes - known),
            )
        )
    return Weights(opened.git_rev, opened.dvc_md5, train.total, test.total, tuple(each))


def owners(forget: ForgetSet, selections: Sequence[AnySelection], split: Split = "train") -> Owners:
    """Tell the rows of a forget set apart by the selections they belong to; one pass.

    A row may belong to several selections, or to none; rows outside of the forget set are left
    out. Memory: 16 bytes per pair.

    Args:
        forget: the resolved forget set of all the selections together.
        selections: what each request asked for.
        split: training or held-out rows.

    Raises:
        DataError: if the data set cannot be read any more.
    """
    found, before = [Pairs(np.empty(0, np.int64), np.empty(0, np.int64))], 0
    if split in forget.scans:
        chosen, matcher = Matcher([forget.spec.selection]), Matcher(selections)
        groups = np.flatnonzero(forget.scans[split].selected).tolist()
        with forget.opened.opener(split)() as raw, open_parquet(raw) as file:
            columns = _columns(file.schema_arrow, chosen, matcher)
            for _, rows in pieces(file, columns, groups):
                mask = chosen.mask(rows)
                at, owner = matcher.pairs(rows)
                inside = mask[at]
                positions = before + np.cumsum(mask) - 1
                found.append(Pairs(positions[at[inside]], owner[inside]))
                before += int(mask.sum())
    row, selection = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    return Owners(row, selection, rows=before, selections=len(selections))


def _tally(opened: OpenDataset, split: Split, matcher: Matcher, selections: int) -> LabelTally:
    tally = LabelTally(selections)
    if split not in opened.paths:
        return tally
    with opened.opener(split)() as raw, open_parquet(raw) as file:
        input_column(file.schema_arrow, opened.paths[split])
        groups = range(file.metadata.num_row_groups)
        for _, rows in pieces(file, _columns(file.schema_arrow, matcher), groups):
            tally.add(rows, *matcher.pairs(rows))
    return tally


def _columns(schema: pa.Schema, *matchers: Matcher) -> list[str]:
    """The columns that decide, as far as there are such, and the label."""
    wanted = [column for matcher in matchers for column in matcher.columns()]
    return [one for one in dict.fromkeys([*wanted, "label"]) if one in schema.names]


def _by_labels(selection: AnySelection) -> bool:
    """Whether the counts of labels alone say what is selected."""
    return selection is None or selection.columns() == ["label"]


def _named(selection: AnySelection, name: str) -> set[str]:
    return set(getattr(selection, name, None) or ())

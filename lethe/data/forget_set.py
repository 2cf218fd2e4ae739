"""Forget sets: references into versioned data, resolved when they are needed, never copied.

spec = ForgetSpec(dataset="data/digits", selection=Selection(classes=("3",)))
forget = resolve_forget_set(spec, max_share=0.5, key=key)
rows = forget.rows(split="train", part="forget", classes=names, memory_budget=2**29)

What cannot or must not be forgotten is refused here, before any work is spent.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lethe.data.dataset import DatasetRows, dataset_rows, describe, read_rows
from lethe.data.digest import SetDigest
from lethe.data.errors import (
    EmptySelectionError,
    ShareExceededError,
    UnknownClassError,
    UnknownIdsError,
    WholeDatasetError,
)
from lethe.data.forget_spec import ForgetSpec
from lethe.data.info import DatasetInfo
from lethe.data.matching import Matcher
from lethe.data.parquet import Split
from lethe.data.parquet_rows import open_parquet
from lethe.data.repository import OpenDataset, open_dataset
from lethe.data.rows import Rows
from lethe.data.scan import Scan, pieces, scan
from lethe.data.selection import Kind
from lethe.data.subjects import subject_ids
from lethe.data.vocabulary import Vocabulary

__all__ = [
    "DatasetRows",
    "ForgetSet",
    "ForgetSpec",
    "Part",
    "dataset_rows",
    "resolve_forget_set",
]

Part = Literal["forget", "retained"]


@dataclass(frozen=True)
class ForgetSet:
    """A resolved forget set.

    `count` of `total` training rows and `held_out_count` of
    `held_out_total` held-out rows are selected.
    `class_names` are the selected labels, empty when the selection names none. `set_digest` is
    the keyed digest of the selected training rows' sample ids (`lethe.data.digest`). `spec.rev`
    is the full sha. `missing` of the ids that the spec names were in no row, 0 unless that was
    allowed. No ids of rows are kept beyond those that the spec itself lists.
    """

    spec: ForgetSpec
    kind: Kind
    class_names: tuple[str, ...]
    count: int
    held_out_count: int
    total: int
    held_out_total: int
    set_digest: str
    info: DatasetInfo
    opened: OpenDataset
    scans: dict[Split, Scan]
    missing: int = 0

    @property
    def share(self) -> float:
        """Selected share of the training rows, 0 to 1."""
        return self.count / self.total

    @property
    def dvc_md5(self) -> str:
        """DVC's hash of the data set: a fingerprint of the whole, not of the selected rows."""
        return self.opened.dvc_md5

    @property
    def git_rev(self) -> str:
        """The commit, a full sha."""
        return self.opened.git_rev

    @property
    def repository(self) -> str:
        """The data repository, without credentials."""
        return self.opened.repository

    def sample_ids(self) -> Iterator[str]:
        """The selected training rows' sample ids, read again from the key columns.

        They may identify people: for keyed fingerprints, never for a record.
        """
        with self.opened.opener("train")() as raw, open_parquet(raw) as file:
            matcher = Matcher([self.spec.selection])
            columns = list(dict.fromkeys(["sample_id", "label", *matcher.columns()]))
            groups = [g for g, count in enumerate(self.scans["train"].selected) if count]
            for _, rows in pieces(file, columns, groups):
                chosen = rows["sample_id"].filter(pa.array(matcher.mask(rows)))
                yield from chosen.to_pylist()

    def subject_ids(self, part: Part) -> list[str | None]:
        """Whose each training row is, selected or not, in the order of `rows`; read again.

        Raises:
            FormError: if the data set has no such column.
        """
        return subject_ids(self.opened, "train", _Choice(Matcher([self.spec.selection]), part))

    def rows(
        self, *, split: Split, part: Part, classes: Sequence[str], memory_budget: int
    ) -> Rows | None:
        """The selected rows, or all others, of one split; None when there are none.

        Args:
            split: training or held-out rows.
            part: "forget" for the selected rows, "retained" for the others.
            classes: labels in the order of the model's outputs; other labels become -1.
            memory_budget: bytes; rows that need more when decoded are streamed.
        """
        found = self.scans.get(split)
        if found is None:
            return None
        counts = found.selected
        if part == "retained":
            counts = [t - s for t, s in zip(found.totals, found.selected, strict=True)]
        choice = _Choice(Matcher([self.spec.selection]), part)
        return read_rows(
            self.opened, split, choice, counts, classes=classes, memory_budget=memory_budget
        )


@dataclass(frozen=True)
class _Choice:
    """The selected rows, or the others."""

    matcher: Matcher
    part: Part

    def columns(self) -> list[str]:
        return self.matcher.columns()

    def mask(self, rows: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        selected = self.matcher.mask(rows)
        return selected if self.part == "forget" else ~selected


def resolve_forget_set(
    spec: ForgetSpec, *, max_share: float, key: bytes, missing_ok: bool = False
) -> ForgetSet:
    """Find the selected rows; reads the key columns once, never the inputs.

    Args:
        spec: what to forget.
        max_share: largest share of the training rows that may be selected. It is not applied to
            a spec without a selection, whose training set is another one.
        key: secret for the digest of the sample ids.
        missing_ok: ids that no row has are counted in `missing` instead of being refused: the
            requests of a batch are not spoiled by one whose rows are gone already.

    Raises:
        NotARepositoryError, MissingRevisionError, MissingDatasetError, MissingObjectError,
        RemoteError, FormError: from opening the data set.
        UnknownClassError: if a class is not in the data set.
        UnknownIdsError: if subjects or samples are not in it and `missing_ok` is not given.
        EmptySelectionError: if no training row is selected.
        WholeDatasetError: if all are.
        ShareExceededError: if more than `max_share` of them are.
    """
    if spec.selection is not None:
        spec.selection.check()
    elif not spec.whole:
        raise EmptySelectionError(
            f"Nothing in {spec.dataset} is selected. Nothing was changed. Name classes, subjects "
            "or samples, for example `lethe unlearn MODEL --dataset PATH --classes A,B`; if all of "
            "it was made to be forgotten, say so with --whole."
        )
    opened = open_dataset(spec.repository, spec.dataset, spec.rev)
    digest = SetDigest(key)
    matcher = Matcher([spec.selection])
    scans = {
        split: scan(opened.opener(split), path, matcher, digest if split == "train" else None)
        for split, path in opened.paths.items()
    }
    labels = {label for found in scans.values() for label in found.labels}
    info = opened.info or describe(opened, labels)
    ids = [matcher.vocabularies[column] for column in ("subject_id", "sample_id")]
    _check(spec, scans, info, () if missing_ok else ids, max_share)
    train, test = scans["train"], scans.get("test", Scan())
    return ForgetSet(
        spec=spec.model_copy(update={"rev": opened.git_rev}),
        kind=spec.selection.kind if spec.selection else "samples",
        class_names=(spec.selection.classes if spec.selection else None) or (),
        count=train.count,
        held_out_count=test.count,
        total=train.total,
        held_out_total=test.total,
        set_digest=digest.hexdigest(),
        info=info,
        opened=opened,
        scans=scans,
        missing=sum(one.missing for one in ids),
    )


def _check(
    spec: ForgetSpec,
    scans: Mapping[Split, Scan],
    info: DatasetInfo,
    ids: Sequence[Vocabulary],
    max_share: float,
) -> None:
    """Refuse what must not be forgotten, the most telling reason first."""
    count, total = scans["train"].count, scans["train"].total
    known = set(info.classes).union(*(found.labels for found in scans.values()))
    selected = (spec.selection.classes if spec.selection else None) or ()
    unknown = [label for label in selected if label not in known]
    if unknown:
        raise UnknownClassError(
            f"{spec.dataset} has no class {', '.join(map(repr, unknown))}. Nothing was changed. "
            f"Its classes are: {', '.join(sorted(known))}."
        )
    for one in ids:
        if one.missing:
            what = one.column.removesuffix("_id")
            raise UnknownIdsError(
                f"{one.missing} of the {len(one)} {what} ids are not in {spec.dataset} at this "
                "revision. Nothing was changed. Check the list, or name another revision with "
                "--rev."
            )
    if not count:
        raise EmptySelectionError(
            f"The selection matches no training row of {spec.dataset}. Nothing was changed. "
            "`lethe data show` tells what the data set holds."
        )
    if spec.whole:
        return
    if count == total:
        raise WholeDatasetError(
            f"The selection matches all {total} training rows of {spec.dataset}. Nothing was "
            "changed. If the data set was made to be forgotten, say so with --whole; a model that "
            "must forget all it was trained on is to be deleted, not edited."
        )
    if count > max_share * total:
        raise ShareExceededError(
            f"The selection is {count} of {total} training rows, {count / total:.1%}; one request "
            f"may forget {max_share:.0%}. Nothing was changed. Retrain instead, or raise "
            "data.max_share in lethe.toml."
        )

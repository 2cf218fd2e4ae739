"""The output level: what the successor answers, compared with its parent and a reference.

    evaluation = evaluate(parent, successor, {Part.FORGET_TRAIN: rows, ...},
                          classes=names, forgotten=[3], device=device)

This level is necessary and cheap, and it can be fooled: a model whose head alone was changed
passes it while its features still tell the class apart. So it never supports the verdict `erased`.
docs/evaluation.md says what each figure needs.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

import torch
from torch import Tensor, nn

from lethe.data.rows import Rows
from lethe.errors import ModelError
from lethe.evaluation.membership import attack
from lethe.evaluation.predictions import Progress, stream
from lethe.evaluation.results import (
    FORGET_PARTS,
    HELD_OUT_PARTS,
    CalibrationSides,
    ClassRow,
    Confidence,
    Evaluation,
    MembershipSides,
    Neighbour,
    Part,
    Partition,
)
from lethe.evaluation.tally import BROKEN, Answers, DriftSums, PartTally, mean

__all__ = ["Evaluation", "Part", "evaluate"]

NEAREST = 3
BEFORE, AFTER, REFERENCE = 0, 1, 2

_Tallies = Mapping[Part, PartTally]


def evaluate(
    parent: nn.Module,
    successor: nn.Module,
    parts: Mapping[Part, Rows],
    *,
    classes: Sequence[str],
    forgotten: Sequence[int],
    device: torch.device,
    reference: nn.Module | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Compare a successor with its parent on up to four parts of the data.

    Args:
        parent: the network before; inputs (B, *shape) to logits (B, K).
        successor: the network after.
        parts: rows of each part; a part that is missing or empty is not measured.
        classes: names of the K classes, in the order of the logits.
        forgotten: indices of the forgotten classes; empty when single rows are forgotten.
        device: where to compute.
        reference: a network retrained without the forget set, if there is one.
        seed: of the bootstrap.
        progress: told of (rows done, rows in all); every network sees a row when it is read.

    Raises:
        ModelError: if a network does not give one logit per class.
    """
    given = {part: parts[part] for part in Part if part in parts and len(parts[part])}
    networks = [parent, successor] + ([] if reference is None else [reference])
    gone = torch.zeros(len(classes), dtype=torch.bool)
    gone[list(forgotten)] = True
    total, done = sum(len(rows) for rows in given.values()), 0
    tallies: dict[Part, PartTally] = {}
    for part, rows in given.items():
        tally = tallies[part] = PartTally(part, [Answers() for _ in networks])
        with closing(stream(networks, rows, device=device)) as batches:
            for outputs, labels in batches:
                _check_width(outputs, classes)
                tally.add(outputs, labels, gone)
                done += len(labels)
                if progress is not None:
                    progress(done, total)
    after = _partition(tallies, AFTER)
    retained, held_out = (tallies.get(part) for part in HELD_OUT_PARTS)
    return Evaluation(
        classes=tuple(classes),
        forgotten=tuple(sorted(forgotten)),
        before=_partition(tallies, BEFORE),
        after=after,
        reference=None if reference is None else _partition(tallies, REFERENCE),
        per_class=tuple(_class_rows(tallies, classes, gone)),
        drift=(retained.drift if retained else DriftSums()).result(),
        confidence=_confidence(tallies, gone),
        membership=_membership(tallies, seed),
        calibration=_calibration(retained),
        landing=None if held_out is None else held_out.landing.result(classes, gone),
        not_measured=tuple(part for part in Part if after.get(part) is None),
        unknown_labels=sum(tally.unknown for tally in tallies.values()),
        broken_outputs=sum(tally.sides[AFTER].broken for tally in tallies.values()),
    )


def _check_width(outputs: Sequence[Tensor], classes: Sequence[str]) -> None:
    for output in outputs:
        if output.shape[1] != len(classes):
            raise ModelError(
                f"The model gives {output.shape[1]} logits, but {len(classes)} classes are "
                f"named. Nothing was changed. Compare `lethe model show` with `lethe data show`."
            )


def _partition(tallies: _Tallies, side: int) -> Partition:
    return Partition(**{part.value: tally.accuracy(side) for part, tally in tallies.items()})


def _class_rows(tallies: _Tallies, classes: Sequence[str], gone: Tensor) -> Iterator[ClassRow]:
    # Single rows that were forgotten belong to retained classes; what they lost is no cost.
    parts = HELD_OUT_PARTS if gone.any() else (Part.RETAINED_HELD_OUT,)
    found = [tallies[part] for part in parts if part in tallies]
    if not found:
        return
    labels = torch.cat([tally.labels for tally in found])
    sides = zip(*(tally.sides for tally in found), strict=True)
    predicted = [torch.cat([one.predicted for one in side]) for side in sides]
    for index, label in enumerate(classes):
        mine = labels == index
        count = int(mine.sum())
        if not count:
            continue
        right = [int((answers[mine] == index).sum()) / count for answers in predicted]
        yield ClassRow(
            label=label,
            forgotten=bool(gone[index]),
            count=count,
            before=right[BEFORE],
            after=right[AFTER],
            reference=right[REFERENCE] if len(right) > REFERENCE else None,
            nearest=_nearest(predicted[AFTER][mine], index, classes),
        )


def _nearest(predicted: Tensor, own: int, classes: Sequence[str]) -> tuple[Neighbour, ...]:
    others = predicted[(predicted != own) & (predicted != BROKEN)]
    counts = torch.bincount(others, minlength=len(classes))
    order = counts.argsort(descending=True, stable=True)[:NEAREST].tolist()
    shares = {index: int(counts[index]) / len(predicted) for index in order if counts[index]}
    return tuple(Neighbour(label=classes[index], share=share) for index, share in shares.items())


def _membership(tallies: _Tallies, seed: int) -> MembershipSides | None:
    if not all(part in tallies for part in FORGET_PARTS):
        return None
    members, others = (tallies[part].sides for part in FORGET_PARTS)
    found = [
        attack(one.scores, other.scores, seed) for one, other in zip(members, others, strict=True)
    ]
    if not any(found):
        return None
    return MembershipSides(
        before=found[BEFORE],
        after=found[AFTER],
        reference=found[REFERENCE] if len(found) > REFERENCE else None,
    )


def _calibration(retained: PartTally | None) -> CalibrationSides | None:
    if retained is None:
        return None
    found = [side.calibration.result() for side in retained.sides]
    return CalibrationSides(
        before=found[BEFORE],
        after=found[AFTER],
        reference=found[REFERENCE] if len(found) > REFERENCE else None,
    )


def _confidence(tallies: _Tallies, gone: Tensor) -> Confidence | None:
    found = [tallies[part] for part in FORGET_PARTS if part in tallies]
    count = sum(len(tally.labels) for tally in found)
    if not count:
        return None
    figures: dict[str, float | None] = {}
    for side, name in ((BEFORE, "before"), (AFTER, "after")):
        p = mean(sum(tally.sides[side].p for tally in found), count)
        # Sums of probabilities may exceed 1 by rounding.
        figures[f"p_{name}"] = None if p is None else min(p, 1.0)
        figures[f"entropy_{name}"] = mean(sum(tally.sides[side].entropy for tally in found), count)
        answers = torch.cat([tally.sides[side].predicted for tally in found])
        named = int(torch.isin(answers, gone.nonzero().flatten()).sum()) / count
        figures[f"named_{name}"] = named if gone.any() else None
    return Confidence(count=count, **figures)

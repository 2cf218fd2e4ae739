"""The output level: what the successor answers, compared with its parent and a reference.

    evaluation = evaluate(parent, successor, {Part.FORGET_TRAIN: rows, ...},
                          classes=names, forgotten=[3], device=device)

This level is necessary and cheap, and it can be fooled: a model whose head alone was changed
passes it while its features still tell the class apart. So it never supports the verdict `erased`.
docs/evaluation.md says what each figure needs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from scipy.special import rel_entr
from torch import Tensor, nn

from lethe.data.rows import Rows
from lethe.errors import ModelError
from lethe.evaluation.predictions import Predictions, Progress, predict
from lethe.evaluation.results import (
    FORGET_PARTS,
    HELD_OUT_PARTS,
    Accuracy,
    ClassRow,
    Confidence,
    Drift,
    Evaluation,
    Neighbour,
    Part,
    Partition,
)

__all__ = ["Evaluation", "Part", "evaluate"]

BROKEN = -1
NEAREST = 3


@dataclass(frozen=True)
class _Answers:
    """What one model says about the rows of one part whose label it knows."""

    logits: Tensor
    labels: Tensor
    unknown: int

    @classmethod
    def of(cls, outputs: Predictions) -> "_Answers":
        known = outputs.labels >= 0
        logits, labels = outputs.logits[known].double(), outputs.labels[known]
        return cls(logits, labels, int((~known).sum()))

    @property
    def probabilities(self) -> Tensor:
        return self.logits.softmax(1)

    @property
    def broken(self) -> Tensor:
        """Rows without a usable output; a logit of minus infinity alone is usable."""
        return ~self.probabilities.isfinite().all(1)

    @property
    def predicted(self) -> Tensor:
        """Most probable class, -1 for rows without a usable output."""
        return self.logits.argmax(1).masked_fill(self.broken, BROKEN)

    @property
    def accuracy(self) -> Accuracy | None:
        return Accuracy.of(int((self.predicted == self.labels).sum()), len(self.labels))


_Model = Mapping[Part, _Answers]


def evaluate(
    parent: nn.Module,
    successor: nn.Module,
    parts: Mapping[Part, Rows],
    *,
    classes: Sequence[str],
    forgotten: Sequence[int],
    device: torch.device,
    reference: nn.Module | None = None,
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
        progress: told of (rows done, rows in all), over all networks.

    Raises:
        ModelError: if a network does not give one logit per class.
    """
    given = {part: parts[part] for part in Part if part in parts and len(parts[part])}
    networks = [parent, successor] + ([] if reference is None else [reference])
    total = len(networks) * sum(len(rows) for rows in given.values())
    done = 0
    answers: list[dict[Part, _Answers]] = []
    for network in networks:
        answers.append({})
        for part, rows in given.items():
            hear = None if progress is None else _shifted(progress, done, total)
            outputs = predict(network, rows, device=device, progress=hear)
            _check_width(outputs, classes)
            answers[-1][part] = _Answers.of(outputs)
            done += len(rows)
    before, after, retrained = answers[0], answers[1], answers[2] if len(answers) > 2 else None
    gone = torch.zeros(len(classes), dtype=torch.bool)
    gone[list(forgotten)] = True
    partitions = [_partition(model) for model in answers]
    return Evaluation(
        classes=tuple(classes),
        forgotten=tuple(sorted(forgotten)),
        before=partitions[0],
        after=partitions[1],
        reference=partitions[2] if retrained is not None else None,
        per_class=tuple(_class_rows(before, after, retrained, classes, gone)),
        drift=_drift(before, after, gone),
        confidence=_confidence(before, after, gone),
        not_measured=tuple(part for part in Part if partitions[1].get(part) is None),
        unknown_labels=sum(one.unknown for one in after.values()),
        broken_outputs=sum(int(one.broken.sum()) for one in after.values()),
    )


def _shifted(progress: Progress, done: int, total: int) -> Progress:
    return lambda here, _: progress(done + here, total)


def _check_width(outputs: Predictions, classes: Sequence[str]) -> None:
    if outputs.logits.shape[1] != len(classes):
        raise ModelError(
            f"The model gives {outputs.logits.shape[1]} logits, but {len(classes)} classes are "
            f"named. Nothing was changed. Compare `lethe model show` with `lethe data show`."
        )


def _partition(model: _Model) -> Partition:
    return Partition(**{part.value: answers.accuracy for part, answers in model.items()})


def _joined(model: _Model, parts: Sequence[Part]) -> _Answers | None:
    found = [model[part] for part in parts if part in model and len(model[part].labels)]
    if not found:
        return None
    logits, labels = (torch.cat([getattr(a, name) for a in found]) for name in ("logits", "labels"))
    return _Answers(logits, labels, sum(a.unknown for a in found))


def _class_rows(
    before: _Model,
    after: _Model,
    reference: _Model | None,
    classes: Sequence[str],
    gone: Tensor,
) -> Iterator[ClassRow]:
    sides = [_joined(model, HELD_OUT_PARTS) for model in (before, after, reference or {})]
    predicted = [side.predicted if side else None for side in sides]
    if sides[1] is None or predicted[0] is None or predicted[1] is None:
        return
    for index, label in enumerate(classes):
        mine = sides[1].labels == index
        count = int(mine.sum())
        if not count:
            continue
        hits = [None if p is None else int((p[mine] == index).sum()) / count for p in predicted]
        yield ClassRow(
            label=label,
            forgotten=bool(gone[index]),
            count=count,
            before=hits[0] or 0.0,
            after=hits[1] or 0.0,
            reference=hits[2],
            nearest=_nearest(predicted[1][mine], index, classes),
        )


def _nearest(predicted: Tensor, own: int, classes: Sequence[str]) -> tuple[Neighbour, ...]:
    others = predicted[(predicted != own) & (predicted != BROKEN)]
    counts = torch.bincount(others, minlength=len(classes))
    order = counts.argsort(descending=True, stable=True)[:NEAREST].tolist()
    shares = {index: int(counts[index]) / len(predicted) for index in order if counts[index]}
    return tuple(Neighbour(label=classes[index], share=share) for index, share in shares.items())


def _drift(before: _Model, after: _Model, gone: Tensor) -> Drift | None:
    parent, successor = before.get(Part.RETAINED_HELD_OUT), after.get(Part.RETAINED_HELD_OUT)
    if parent is None or successor is None or not len(parent.labels) or bool(gone.all()):
        return None
    broken = parent.broken | successor.broken
    p, q = parent.logits[:, ~gone].softmax(1), successor.logits[:, ~gone].softmax(1)
    # A row whose retained logits are all minus infinity has nothing to renormalise.
    broken |= ~(p.isfinite().all(1) & q.isfinite().all(1))
    same = (p.argmax(1) == q.argmax(1)) & ~broken
    kl = torch.from_numpy(rel_entr(p.numpy(), q.numpy())).sum(1).mean()
    return Drift(count=len(same), agreement=int(same.sum()) / len(same), kl=_finite(kl))


def _confidence(before: _Model, after: _Model, gone: Tensor) -> Confidence | None:
    parent, successor = _joined(before, FORGET_PARTS), _joined(after, FORGET_PARTS)
    if parent is None or successor is None:
        return None
    return Confidence(
        count=len(parent.labels),
        p_before=_mean_p(parent, gone),
        p_after=_mean_p(successor, gone),
        named_before=_named(parent, gone),
        named_after=_named(successor, gone),
        entropy_before=_mean_entropy(parent),
        entropy_after=_mean_entropy(successor),
    )


def _mean_p(answers: _Answers, gone: Tensor) -> float | None:
    p = answers.probabilities
    own = p.gather(1, answers.labels[:, None]) if not gone.any() else p[:, gone]
    mean = _finite(own.sum(1).mean())
    return None if mean is None else min(mean, 1.0)


def _named(answers: _Answers, gone: Tensor) -> float | None:
    if not gone.any():
        return None
    named = torch.isin(answers.predicted, gone.nonzero().flatten())
    return int(named.sum()) / len(named)


def _mean_entropy(answers: _Answers) -> float | None:
    return _finite(torch.special.entr(answers.probabilities).sum(1).mean())


def _finite(value: Tensor) -> float | None:
    return float(value) if bool(value.isfinite()) else None

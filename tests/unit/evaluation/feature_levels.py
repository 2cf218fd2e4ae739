"""Feature levels written down by hand."""

from lethe.evaluation.feature_level.readings import Curve, FeatureLevel, Likeness, Reading
from lethe.evaluation.feature_level.results import LayerCKA, RelearnCurve


def reading(name, original, successor, reference, *, retrained=False, **changes) -> Reading:
    """A reading with one reference."""
    return Reading(
        **{
            "name": name,
            "needs": "labelled_rows",
            "original": original,
            "successor": successor,
            "retrained" if retrained else "fresh": reference,
            **changes,
        }
    )


def curve(*shares, planned=20) -> RelearnCurve:
    """Forget accuracy after 0, 2, 4, … updates, and one in ten retained rows claimed."""
    return RelearnCurve(
        steps=tuple(range(0, 2 * len(shares), 2)),
        forget=shares,
        retained=None,
        claimed=(0.1,) * len(shares),
        forget_count=50,
        retained_count=50,
        rows=40,
        planned=planned,
        forget_only=False,
        fresh_head=True,
        stopped="steps",
    )


def layers(*values) -> tuple[LayerCKA, ...]:
    """CKA of conv1, conv2, …; the last is `features`."""
    names = [*(f"conv{n}" for n in range(1, len(values))), "features"]
    return tuple(
        LayerCKA(layer=name, count=50, cka=1.0, debiased=value)
        for name, value in zip(names, values, strict=True)
    )


REMEMBERING = FeatureLevel(
    reference="fresh",
    # Positions: 1/3, 5/6, none, 0.5 of at most 0.8.
    readings=(
        reading("relearn", 0.9, 0.5, 0.3),
        reading("linear_probe_2", 0.9, 0.8, 0.3),
        reading("class_means", 0.98, 0.97, 0.95),
        reading("likeness", 1.0, 0.8, 0.6, needs="forget_rows"),
    ),
    curves=(
        Curve(network="original", curve=curve(0.1, 1.0, 1.0)),
        Curve(network="successor", curve=curve(0.1, 0.3, 0.8, 0.9)),
        Curve(network="fresh", curve=curve(*(0.1 * n for n in range(11)))),
    ),
    likeness=(
        Likeness(network="successor", layers=layers(0.99, 0.8)),
        Likeness(network="fresh", layers=layers(0.9, -0.02)),
    ),
    labelled=200,
    seconds=1.5,
)

ERASED = FeatureLevel(
    reference="retrained",
    readings=(
        reading("relearn", 0.9, 0.5, 0.4, retrained=True),
        reading("linear_probe_2", 0.9, 0.26, 0.5, retrained=True),
    ),
    labelled=200,
)

UNCLEAR = FeatureLevel(reference="fresh", readings=(reading("class_means", 0.98, 0.97, 0.95),))

"""Measures the hidden layers of the original, the successor and their references.

    found = measure_features(
        {"original": parent, "successor": successor, "fresh": untrained},
        {Part.FORGET_TRAIN: rows, ...}, forgotten=[3], device=device,
    )
    [(reading.name, reading.position) for reading in found.readings]

| reading             | measures                                                   | needs         |
|---------------------|------------------------------------------------------------|---------------|
| `linear_probe_2`    | a new head from 2 % of the labels recognises the class     | labelled rows |
| `linear_probe_10`   | the same from 10 %                                         | labelled rows |
| `class_means`       | rows lie nearest to the mean of their class                | labelled rows |
| `relearn`           | area under the relearn curve                               | labelled rows |
| `likeness`          | CKA with the original on forget rows, at the features      | forget rows   |
| `original_means`    | rows lie nearest to the mean the original had for them     | forget rows   |
| `feature_membership`| training rows are told from held-out ones by their features| forget rows   |

The first four and `original_means` are for whole classes, the last is for single rows and people.
Labelled rows are a few of each class, forgotten and retained.

All networks see the same few rows; the cost does not grow with the data set. Who measures many
successors of one original gives the same dictionary as `known`, and pays for the others once.
"""

import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lethe.data.rows import Rows, TensorRows
from lethe.evaluation.base import FORGET_PARTS, Part
from lethe.evaluation.feature_level.cka import layerwise_cka
from lethe.evaluation.feature_level.class_means import nearest_original_mean, nearest_own_mean
from lethe.evaluation.feature_level.layers import FEATURES, capture, pick_layers
from lethe.evaluation.feature_level.linear_probe import SHARES, linear_probe
from lethe.evaluation.feature_level.readings import (
    LIKENESS,
    Curve,
    FeatureLevel,
    Likeness,
    Network,
    Probe,
    Reading,
)
from lethe.evaluation.feature_level.relearn import relearn
from lethe.evaluation.feature_level.relearn_curve import area
from lethe.evaluation.feature_level.results import ClassMeans, LayerCKA, LinearProbe, RelearnCurve
from lethe.evaluation.feature_level.row_membership import row_membership
from lethe.evaluation.feature_level.samples import Samples, draw
from lethe.evaluation.feature_level.settings import RelearnSettings

# Half the distance that two trainings of one network with other seeds have, and more.
CKA_NOISE = 0.02
RELEARN_NOISE = 0.02
# Every second update is measured on a hundred rows: a third of the cost, the same area.
RELEARNING = RelearnSettings(every=2, held_out_rows=100)
PROBE_SEEDS = (0, 1, 2)

Means = tuple[Tensor, Tensor]
Known = MutableMapping[tuple[str, Network], Any]
Made = TypeVar("Made")


def measure_features(
    networks: Mapping[Network, nn.Module],
    parts: Mapping[Part, Rows],
    *,
    forgotten: Sequence[int],
    device: torch.device,
    means: Means | None = None,
    relearning: RelearnSettings = RELEARNING,
    seed: int = 0,
    known: Known | None = None,
) -> FeatureLevel | None:
    """Every reading that the given rows allow.

    Args:
        networks: "original" and "successor"; "fresh" and "retrained" where there are such. Each
            maps inputs (B, *shape) to logits (B, K) and is left as it is.
        parts: rows of each part; what is missing is not measured.
        forgotten: indices of the forgotten classes; empty when single rows are forgotten.
        device: where to compute.
        means: class means (M, D) of the original's features and their classes (M,), from a card.
        relearning: how to relearn.
        seed: of every choice of rows.
        known: what earlier calls found in all networks but the successor. Filled and used again;
            only for the same networks, rows, `forgotten`, `relearning` and seed.

    Returns:
        None when there are no forget rows, or the network has no layers below its output.

    Raises:
        ModelError: if a network's layers cannot be watched.
    """
    started = time.perf_counter()
    known = {} if known is None else known
    samples = draw(parts, seed=seed)
    rows = samples.forgotten
    if rows is None:
        return None
    layers = pick_layers(networks["original"], rows.x[:4])
    if not layers:
        return None
    layered = {
        name: capture(model, rows, layers, device=device).by_layer
        for name, model in networks.items()
    }
    likeness: dict[Network, tuple[LayerCKA, ...]] = {
        name: _once(known, "likeness", name, partial(layerwise_cka, layered["original"], seen))
        for name, seen in layered.items()
        if name != "original"
    }
    readings = [*_likeness(likeness)]
    probes: list[Probe] = []
    curves: list[Curve] = []
    if forgotten:
        readings += _original_means(layered, rows, means, forgotten)
        probed = _heads(networks, samples, forgotten, device, known)
        probes = [Probe(network=name, probe=p) for name, ps in probed[0].items() for p in ps]
        readings = [*probed[1], *readings]
        relearned = _relearn(networks, samples, device, settings=relearning, seed=seed, known=known)
        curves = [Curve(network=name, curve=curve) for name, curve in relearned.items()]
        readings = [*_areas(relearned), *readings]
    elif samples.forget is not None and all(len(parts.get(part, ())) for part in FORGET_PARTS):
        readings += _row_memberships(layered, len(samples.forget), seed)
    labelled = samples.labelled
    return FeatureLevel(
        reference=next((name for name in ("retrained", "fresh") if name in networks), None),
        readings=tuple(readings),
        probes=tuple(probes),
        curves=tuple(curves),
        likeness=tuple(Likeness(network=name, layers=found) for name, found in likeness.items()),
        labelled=0 if labelled is None else len(labelled),
        seconds=time.perf_counter() - started,
    )


def _once(known: Known, what: str, network: Network, make: Callable[[], Made]) -> Made:
    """What is known of a network, or else is found now; the successor is another every time."""
    if network == "successor":
        return make()
    if (what, network) not in known:
        known[what, network] = make()
    found: Made = known[what, network]
    return found


def _reading(
    name: str, needs: str, values: Mapping[Network, float | None], noise: float
) -> Iterator[Reading]:
    """The reading, unless original or successor could not be measured."""
    original, successor = values.get("original"), values.get("successor")
    if original is None or successor is None:
        return
    yield Reading.model_validate(
        {
            "name": name,
            "needs": needs,
            "original": original,
            "successor": successor,
            "fresh": values.get("fresh"),
            "retrained": values.get("retrained"),
            "noise": noise,
        }
    )


def _likeness(found: Mapping[Network, tuple[LayerCKA, ...]]) -> Iterator[Reading]:
    values: dict[Network, float | None] = {"original": 1.0}
    for name, layers in found.items():
        last = next((one for one in layers if one.layer == FEATURES), None)
        if last is not None:
            values[name] = last.cka if last.debiased is None else last.debiased
    yield from _reading(LIKENESS, "forget_rows", values, CKA_NOISE)


def _heads(
    networks: Mapping[Network, nn.Module],
    samples: Samples,
    forgotten: Sequence[int],
    device: torch.device,
    known: Known,
) -> tuple[dict[Network, list[LinearProbe]], list[Reading]]:
    """Linear probes and class means, on the features of labelled and held-out rows."""
    labelled, held_out = samples.labelled, samples.held_out
    if labelled is None or held_out is None:
        return {}, []
    probes: dict[Network, list[LinearProbe]] = {}
    means: dict[Network, ClassMeans | None] = {}

    def read(model: nn.Module) -> tuple[list[LinearProbe], ClassMeans | None]:
        learned, measured = (_features(model, rows, device) for rows in (labelled, held_out))
        found = [
            linear_probe(
                learned, labelled.y, measured, held_out.y,
                forgotten=forgotten, share=share, total=samples.total, seeds=PROBE_SEEDS,
            )
            for share in SHARES
        ]  # fmt: skip
        own = nearest_own_mean(learned, labelled.y, measured, held_out.y, forgotten=forgotten)
        return [probe for probe in found if probe is not None], own

    for name, model in networks.items():
        probes[name], means[name] = _once(known, "heads", name, partial(read, model))
    readings: list[Reading] = []
    for share in SHARES:
        at = {
            name: probe.forgotten
            for name, several in probes.items()
            for probe in several
            if probe.share == share and probe.forgotten is not None
        }
        spread = max(((one.highest - one.lowest) / 2 for one in at.values()), default=0.0)
        values: dict[Network, float | None] = {name: one.mean for name, one in at.items()}
        title = f"linear_probe_{round(100 * share)}"
        readings += _reading(title, "labelled_rows", values, spread)
    readings += _means_reading("class_means", "labelled_rows", means)
    return probes, readings


def _original_means(
    known: Mapping[Network, Mapping[str, Tensor]],
    rows: TensorRows,
    means: Means | None,
    forgotten: Sequence[int],
) -> Iterator[Reading]:
    width = known["original"][FEATURES].shape[1]
    if means is None or means[0].shape[1:] != (width,):
        return
    found = {
        name: nearest_original_mean(*means, seen[FEATURES], rows.y, forgotten=forgotten)
        for name, seen in known.items()
    }
    yield from _means_reading("original_means", "forget_rows", found)


def _means_reading(
    name: str, needs: str, found: Mapping[Network, ClassMeans | None]
) -> Iterator[Reading]:
    shares = {
        network: one.forgotten
        for network, one in found.items()
        if one is not None and one.forgotten is not None
    }
    # Of a difference of two shares.
    noise = 2**0.5 * max(((one.high - one.low) / 2 for one in shares.values()), default=0.0)
    yield from _reading(name, needs, {n: one.share for n, one in shares.items()}, noise)


def _relearn(
    networks: Mapping[Network, nn.Module],
    samples: Samples,
    device: torch.device,
    *,
    settings: RelearnSettings,
    seed: int,
    known: Known,
) -> dict[Network, RelearnCurve]:
    # On forget rows alone any network learns to answer one class always: no reading, most cost.
    if samples.labelled is None or samples.held_out is None:
        return {}
    learn = partial(
        relearn,
        forget=samples.labelled if samples.forget is None else samples.forget,
        forget_held_out=(
            samples.held_out if samples.forget_held_out is None else samples.forget_held_out
        ),
        device=device,
        retained=samples.retained,
        retained_held_out=samples.retained_held_out,
        settings=settings,
        seed=seed,
    )
    curves = {
        name: _once(known, "relearn", name, partial(learn, model))
        for name, model in networks.items()
    }
    return {name: curve for name, curve in curves.items() if curve is not None}


def _areas(curves: Mapping[Network, RelearnCurve]) -> Iterator[Reading]:
    values = {name: area(curve, corrected=True) for name, curve in curves.items()}
    yield from _reading("relearn", "labelled_rows", values, RELEARN_NOISE)


def _row_memberships(
    known: Mapping[Network, Mapping[str, Tensor]], trained: int, seed: int
) -> Iterator[Reading]:
    found = {
        name: row_membership(seen[FEATURES][:trained], seen[FEATURES][trained:], seed=seed)
        for name, seen in known.items()
    }
    usable = {name: one for name, one in found.items() if one is not None}
    noise = max(((one.high - one.low) / 2 for one in usable.values()), default=0.0)
    values: dict[Network, float | None] = {name: one.auc for name, one in usable.items()}
    yield from _reading("feature_membership", "forget_rows", values, noise)


def _features(model: nn.Module, rows: TensorRows, device: torch.device) -> Tensor:
    return capture(model, rows, [FEATURES], device=device, limit=len(rows)).by_layer[FEATURES]

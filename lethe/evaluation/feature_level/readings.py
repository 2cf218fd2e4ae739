"""Readings: one measure on every network, and where the successor stands between two of them.

    reading = Reading(name="relearn", needs="labelled_rows", original=0.9, successor=0.5,
                      fresh=0.3, noise=0.05)
    reading.position    # 1/3: a third of the way from the fresh network to the original

A network that never saw a class still tells it apart to some degree: its layers are good for
related things. So no figure of the feature level means anything by itself. Each is read as a
position: 0 is where the reference stands, 1 where the original does. The reference is the network
retrained without the forget set where there is one, else one with fresh weights, which is the
harder yardstick: what training on the retained classes alone would leave counts as remembered.

Where original and reference are hardly apart, the measure cannot tell anything and has no position.
"""

from typing import Literal

from pydantic import Field

from lethe.evaluation.base import Result
from lethe.evaluation.feature_level.results import LayerCKA, LinearProbe, RelearnCurve

Need = Literal["forget_rows", "labelled_rows"]
Network = Literal["original", "successor", "fresh", "retrained"]

# Below this a difference between original and reference says nothing, whatever the noise.
LEAST_GAP = 0.05

# That a class is gone is shown by trying to get it back. How features lie shows mainly whether the
# layers are as they were: two networks retrained with different seeds are apart in it by half the
# way from one of them to the original (likeness on digits, class means on CWRU), so these readings
# tell near 1 alone.
LIKENESS = "likeness"
ORIGINAL_MEANS = "original_means"
CLASS_MEANS = "class_means"
UNMOVED = 0.8
RECOVERING = frozenset({"linear_probe_2", "linear_probe_10", "relearn", "feature_membership"})


class Reading(Result):
    """One measure, higher meaning that the network knows more of what was to be forgotten.

    `needs` says whether forget rows are enough. `noise` is how far chance alone moves a value: half
    the width of a 95 % interval, or of what repeats gave; a difference of less than twice that says
    nothing. `fresh` is the value without any knowledge: a fresh network's,
    or chance.
    """

    name: str
    needs: Need
    original: float
    successor: float
    fresh: float | None = None
    retrained: float | None = None
    noise: float = Field(default=0.0, ge=0)

    @property
    def reference(self) -> float | None:
        """The retrained network's value, else the fresh one's."""
        return self.fresh if self.retrained is None else self.retrained

    @property
    def position(self) -> float | None:
        """0 like the reference, 1 like the original; None where the two are hardly apart."""
        if self.reference is None:
            return None
        gap = self.original - self.reference
        if gap <= max(LEAST_GAP, 2 * self.noise):
            return None
        return (self.successor - self.reference) / gap


def limit_of(name: str, limit: float) -> float:
    """The highest position of a reading that is not called remembered.

    `limit` itself, or `UNMOVED` where that is higher and the reading shows only that layers did not
    move.
    """
    return max(limit, UNMOVED) if name in (LIKENESS, ORIGINAL_MEANS, CLASS_MEANS) else limit


class Curve(Result):
    """The relearn curve of one network."""

    network: Network
    curve: RelearnCurve


class Probe(Result):
    """The linear probe of one network."""

    network: Network
    probe: LinearProbe


class Likeness(Result):
    """Layer by layer, how alike a network is to the original on forget rows."""

    network: Network
    layers: tuple[LayerCKA, ...]


class FeatureLevel(Result):
    """What the hidden layers still hold.

    `reference` names the network that positions are measured from; None when there is none. `rows`
    counts the rows that each part of the measurement used, `seconds` is what it took.
    """

    reference: Literal["fresh", "retrained"] | None
    readings: tuple[Reading, ...] = ()
    probes: tuple[Probe, ...] = ()
    curves: tuple[Curve, ...] = ()
    likeness: tuple[Likeness, ...] = ()
    labelled: int = Field(default=0, ge=0)
    seconds: float = Field(default=0.0, ge=0)

    @property
    def telling(self) -> tuple[Reading, ...]:
        """Readings that have a position."""
        return tuple(one for one in self.readings if one.position is not None)

    def figures(self) -> dict[str, float]:
        """Every value and position under a flat name."""
        found: dict[str, float] = {}
        for one in self.readings:
            values = {
                "original": one.original,
                "successor": one.successor,
                "fresh": one.fresh,
                "retrained": one.retrained,
                "position": one.position,
            }
            found |= {f"{one.name}.{k}": v for k, v in values.items() if v is not None}
        return found

"""What the report shows of hidden layers, membership, landing: rows and sentences for its tables.

Each function gives what is there; the template says what is not.
"""

from dataclasses import dataclass

from lethe.evaluation.feature_level.readings import FeatureLevel, Reading, limit_of
from lethe.evaluation.landing import Landing
from lethe.evaluation.membership import CHANCE, Membership, distance
from lethe.evaluation.results import Evaluation, MembershipSides
from lethe.evaluation.wording import NETWORKS, decimal, reading_figure, reading_words


@dataclass(frozen=True)
class ReadingRow:
    """A reading in words. `values` are those of `HiddenLayers.columns`; `place` says why."""

    name: str
    title: str
    words: str
    alone: bool
    values: tuple[str, ...]
    position: float | None
    limit: float
    within: bool | None
    place: str


@dataclass(frozen=True)
class HiddenLayers:
    """The table of readings. `measured_from` says what position 0 is.

    `higher` is the limit of readings that show only whether layers moved; None without such.
    """

    columns: tuple[str, ...]
    rows: tuple[ReadingRow, ...]
    telling: int
    within: int
    measured_from: str
    reference: str
    higher: float | None


@dataclass(frozen=True)
class AttackRow:
    """The membership attack on one network."""

    network: str
    found: Membership


@dataclass(frozen=True)
class FlowRow:
    """One class that forgotten rows go to: shares of rows answered so, and mean probabilities."""

    label: str
    share: float
    probability: float
    reference_share: float | None
    reference_probability: float | None


FROM = {
    "retrained": "0 is where a network retrained without the forgotten rows stands",
    "fresh": (
        "There is no retrained network, so 0 is where one with fresh weights stands, the harder "
        "yardstick: what training on everything else would leave counts as remembered"
    ),
}


def hidden_layers(found: FeatureLevel, limit: float, now: str) -> HiddenLayers:
    """The table of readings; `now` is what the successor is called."""
    networks = ["original", "successor"] + [
        name
        for name in ("retrained", "fresh")
        if any(getattr(one, name) is not None for one in found.readings)
    ]
    reference = NETWORKS.get(found.reference or "", "")
    rows = tuple(_reading_row(one, networks, limit, reference) for one in found.readings)
    names = {"original": "Parent", "successor": now, "retrained": "Retrained", "fresh": "Fresh"}
    return HiddenLayers(
        columns=tuple(names[name] for name in networks),
        rows=rows,
        telling=sum(row.within is not None for row in rows),
        within=sum(row.within is True for row in rows),
        measured_from=FROM.get(
            found.reference or "",
            "There is neither a retrained nor a fresh network, so no reading has a position",
        ),
        reference=reference,
        higher=max((row.limit for row in rows if row.limit > limit), default=None),
    )


def _reading_row(one: Reading, networks: list[str], limit: float, reference: str) -> ReadingRow:
    title, words = reading_words(one.name)
    at, most = one.position, limit_of(one.name, limit)
    within = None if at is None else at <= most
    return ReadingRow(
        name=one.name,
        title=title,
        words=words,
        alone=one.needs == "forget_rows",
        values=tuple(reading_figure(one.name, getattr(one, name)) for name in networks),
        position=at,
        limit=most,
        within=within,
        place=_place(one, most, reference),
    )


def _place(one: Reading, limit: float, reference: str) -> str:
    if one.position is not None:
        side = "within" if one.position <= limit else "above"
        return f"{side} the limit of {decimal(limit)}"
    if one.reference is None:
        return "nothing to compare the parent with"
    return f"parent and {reference or 'reference'} are hardly apart"


def attacks(sides: MembershipSides, now: str) -> tuple[AttackRow, ...]:
    """The attack on every network it was made on."""
    found = {"Parent": sides.before, now: sides.after, "Retrained": sides.reference}
    return tuple(AttackRow(name, one) for name, one in found.items() if one is not None)


def target(sides: MembershipSides) -> float:
    """The area that the attack should have: the retrained network's, else chance."""
    return CHANCE if sides.reference is None else sides.reference.auc


def attack_words(sides: MembershipSides, now: str) -> str:
    """What the attack on the successor says, in a sentence."""
    if sides.after is None:
        return f"On {now.lower()} the attack could not be made."
    aim, found = target(sides), sides.after
    whose = "chance" if sides.reference is None else "the retrained network's"
    apart = abs(distance(found, sides.reference))
    lead = f"{now} has {decimal(found.auc)}, the target is {decimal(aim)}, {whose}."
    if found.low <= aim <= found.high:
        return f"{lead} It lies within the interval: no difference was shown."
    if found.auc > aim:
        return f"{lead} It is {decimal(apart)} above: forgotten training rows still stand out."
    return (
        f"{lead} It is {decimal(apart)} below: the rows were pushed too far, and stand out from "
        f"the other side."
    )


def flows(landing: Landing) -> tuple[FlowRow, ...]:
    """The classes most rows go to in either network, most probable first."""
    other = landing.reference
    sides = [landing.successor] if other is None else [landing.successor, other]
    labels = {flow.label for side in sides for flow in side.largest}
    places = [i for i, label in enumerate(landing.classes) if label in labels]
    places.sort(key=lambda i: -landing.successor.probabilities[i])
    return tuple(
        FlowRow(
            label=landing.classes[i],
            share=landing.successor.shares[i],
            probability=landing.successor.probabilities[i],
            reference_share=None if other is None else other.shares[i],
            reference_probability=None if other is None else other.probabilities[i],
        )
        for i in places
    )


def why_no_membership(evaluation: Evaluation) -> str:
    """Why the attack was not made."""
    if any(part.value.startswith("forget") for part in evaluation.not_measured):
        return "it needs forgotten rows from training and held-out ones of the same kind"
    return "there are too few forgotten rows"

"""Which methods are tried for a request, in which order, and why: `method = "auto"`.

    ladder = choose(Facts(kind="class", rows=125, total=1258, classes_left=9, card=False,
                          means=False, retained=True, recipe=True))
    [rung.method for rung in ladder.rungs]     # ["pte", "delete", "retrain"]
    ladder.left_out[0].because                 # why a method is not among them

A pure function of a few facts, the same for all data. The next rung is taken when a gate refused
the one before it, or it could not be carried out. What the order rests on is in docs/choosing.md.

It stands beside the packages that use it: the policy explains a ladder before anything runs, and
may know nothing of methods.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from lethe.errors import MethodError

AUTO: Final = "auto"
RETRAIN: Final = "retrain"

Kind = Literal["class", "subject", "samples"]


@dataclass(frozen=True)
class Facts:
    """What the choice depends on, and what is noted beside it.

    Attributes:
        kind: what the request selects by.
        rows: training rows to forget.
        total: training rows there are.
        classes_left: classes that the model may still answer with.
        card: a training card with losses of rows never seen is there.
        means: a training card with means of the classes' features is there.
        retained: the retained training rows may be learned from; not where that would bring back
            what was forgotten before.
        recipe: the version says how it was trained.
    """

    kind: Kind
    rows: int
    total: int
    classes_left: int
    card: bool
    means: bool
    retained: bool
    recipe: bool

    @property
    def can_retrain(self) -> bool:
        """Whether the network can be trained anew without the rows."""
        return self.retained and self.recipe

    def noted(self) -> dict[str, Any]:
        """The facts in plain values, with the share of the rows, for the record."""
        return {**asdict(self), "share": self.rows / max(1, self.total)}


@dataclass(frozen=True)
class Choice:
    """A method with a plain reason, one sentence; its options are the method's own."""

    method: str
    because: str


@dataclass(frozen=True)
class Ladder:
    """What is tried in turn, and what is not and why; both in the order of preference."""

    rungs: tuple[Choice, ...]
    left_out: tuple[Choice, ...]


@dataclass(frozen=True)
class _Need:
    """A condition: how it reads before the facts are known, and what is said where it fails."""

    words: str
    lacking: str
    met: Callable[[Facts], bool]


@dataclass(frozen=True)
class _Candidate:
    method: str
    because: str
    needs: tuple[_Need, ...] = ()


_CARD = _Need(
    "the model has a training card",
    "the model has no training card with losses of rows never seen",
    lambda facts: facts.card,
)
_MEANS = _Need(
    "the model's training card has means of its features",
    "the model has no training card with means of its features",
    lambda facts: facts.means,
)
_RECIPE = _Need(
    "it is recorded how the model was trained",
    "it is not recorded how the model was trained",
    lambda facts: facts.recipe,
)
_RETAINED = _Need(
    "its retained rows may be learned again",
    "what was forgotten before cannot be left out of the retained rows",
    lambda facts: facts.retained,
)
_NO_RETRAINING = _Need(
    "it cannot be retrained", "it can be retrained instead", lambda facts: not facts.can_retrain
)
_RETRAINING = (_RECIPE, _RETAINED)

_CALIBRATED = _Candidate(
    "calibrated", "it compares with rows never seen, and goes no further", (_CARD,)
)
_L2UL = _Candidate(
    "l2ul", "it was published for single rows and needs them alone", (_NO_RETRAINING,)
)

_ROWS = (
    _Candidate(
        RETRAIN,
        "edits leave a network that knows the rows better than one that never saw them",
        _RETRAINING,
    ),
    _CALIBRATED,
    _L2UL,
)

_ORDER: Final[Mapping[Kind, tuple[_Candidate, ...]]] = MappingProxyType(
    {
        "class": (
            _Candidate("pte", "it passes the gates most often and needs the forget rows alone"),
            _Candidate(
                "class_direction",
                "it passes the gates as often, but changes the output layer alone",
                (_MEANS,),
            ),
            _Candidate(
                "delete", "it is next of those that need the forget rows alone, by passed gates"
            ),
            _Candidate(
                "imu",
                "it is next after delete, by passed gates and by cost where it does not pass",
                (_NO_RETRAINING,),
            ),
            _Candidate(
                RETRAIN, "no edit was accepted, and it needs the retained rows", _RETRAINING
            ),
        ),
        "subject": _ROWS,
        "samples": _ROWS,
    }
)


def choose(facts: Facts) -> Ladder:
    """The ladder for these facts.

    Raises:
        MethodError: if there is nothing to forget, or no class would be left to answer with.
    """
    if facts.rows < 1:
        raise MethodError(
            "No method fits: the forget set holds no training rows. Nothing was changed. Check the "
            "selection with `lethe data show`."
        )
    if facts.classes_left < 1:
        raise MethodError(
            "No method fits: no class would be left for the model to answer with. Nothing was "
            "changed. Retire the model instead: `lethe model`."
        )
    rungs, left_out = [], []
    for one in _ORDER[facts.kind]:
        lacking = [need.lacking for need in one.needs if not need.met(facts)]
        if lacking:
            left_out.append(Choice(one.method, " and ".join(lacking)))
        else:
            rungs.append(Choice(one.method, one.because))
    return Ladder(tuple(rungs), tuple(left_out))


def outline(kind: Kind) -> tuple[str, ...]:
    """What `choose` may give for this kind, in words, before anything else is known.

    >>> outline("subject")[1]
    'calibrated, if the model has a training card'
    """
    return tuple(_if(one) for one in _ORDER[kind])


def chosen_methods() -> tuple[str, ...]:
    """Every method that a ladder may hold, once, `retrain` among them."""
    return tuple(dict.fromkeys(one.method for order in _ORDER.values() for one in order))


def _if(candidate: _Candidate) -> str:
    conditions = " and ".join(need.words for need in candidate.needs)
    return f"{candidate.method}, if {conditions}" if conditions else candidate.method

"""Count what approved requests ask for, and hold back what is more than the policy lets through.

All requests for one data set are counted in one pass over its key columns.
"""

import re
from collections.abc import Collection, Iterable
from itertools import groupby

from prefect import task

from lethe.data.attribution import Weight, weigh_selections
from lethe.data.errors import AWAY
from lethe.deletion.ledger.types import Entry, Facts, Judgement
from lethe.deletion.policy.judge import weigh
from lethe.deletion.policy.model import Policy
from lethe.deletion.states import State
from lethe.errors import DataError
from tasks.desk import Desk
from tasks.policy import SAFE_TO_RETRY

PAGE = 500


@task(**SAFE_TO_RETRY)
def weigh_requests(
    desk: Desk, *, models: Collection[str] | None = None, ids: Collection[str] | None = None
) -> dict[str, int]:
    """Weigh every approved request that was not weighed yet, or those of the ids given.

    A repository or a remote that cannot be reached leaves its requests as they are, for the next
    run, with a note of what they wait for; they are not carried out before. A data set that is not
    there holds them, for a person to look at.

    Returns:
        How many went on, how many wait for a person now, how many were rejected, held, and not
        weighed.
    """
    counted = {"ready": 0, "awaiting_approval": 0, "rejected": 0, "held": 0, "unreadable": 0}
    found = _approved(desk, models) if ids is None else map(desk.ledger.get, ids)
    entries = [e for e in found if e.state is State.APPROVED and e.facts.missing is None]
    for (repository, dataset, rev), group in groupby(sorted(entries, key=_place), key=_place):
        several = list(group)
        try:
            weights = weigh_selections(
                repository, dataset, rev, [e.request.forget.selection for e in several]
            )
        except AWAY as error:
            counted["unreadable"] += len(several)
            desk.ledger.many.waits([e.id for e in several], error.in_short, actor=desk.worker)
            continue
        except DataError as error:
            unread = Judgement(State.HELD, f"Its data set cannot be read: {type(error).__name__}")
            judged: dict[str, tuple[Facts, Judgement | None]] = {
                entry.id: (Facts(), unread) for entry in several
            }
        else:
            judged = {
                entry.id: (
                    Facts(rows=weight.rows, share=weight.share, missing=weight.missing),
                    judge_weight(desk.policy, entry, weight),
                )
                for entry, weight in zip(several, weights.each, strict=True)
            }
        for state in desk.ledger.many.weigh(judged, actor=desk.worker).values():
            name = "ready" if state is State.APPROVED else str(state)
            counted[name] = counted.get(name, 0) + 1
    return counted


def judge_weight(policy: Policy, entry: Entry, weight: Weight) -> Judgement | None:
    """What a request's weight leads to; None: it may go on."""
    if weight.unknown_classes:
        return Judgement(
            State.REJECTED,
            f"{weight.unknown_classes} of the classes it names are not in the data set",
        )
    if not weight.rows:
        return Judgement(
            State.REJECTED,
            f"No training row is selected: {weight.missing} of {weight.wanted} ids are not in the "
            f"data set",
        )
    if entry.request.forget.whole:
        return None  # made to be forgotten: its share of itself says nothing
    return weigh(policy, entry, dataset_share=weight.dataset_share, class_share=weight.class_share)


def _approved(desk: Desk, models: Collection[str] | None) -> Iterable[Entry]:
    last: str | None = None
    while page := desk.ledger.find(states=[State.APPROVED], limit=PAGE, after=last):
        yield from (e for e in page if models is None or {e.request.model, _name(e)} & {*models})
        last = page[-1].id


def _name(entry: Entry) -> str:
    return re.split("[@/]", entry.request.model, maxsplit=1)[0]


def _place(entry: Entry) -> tuple[str, str, str]:
    spec = entry.request.forget
    return spec.repository, spec.dataset, spec.rev

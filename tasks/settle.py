"""What follows a registration: the alias moves, the request is completed."""

import logging
from collections.abc import Collection, Iterable, Sequence

from mlflow.exceptions import MlflowException
from prefect import task

from lethe.deletion.ledger.types import Entry
from lethe.deletion.policy.judge import plan
from lethe.deletion.states import State
from lethe.errors import LetheError
from lethe.settings import Settings
from model_registry import tags
from model_registry.aliases import note_promotion, promote
from model_registry.connection import connect
from model_registry.lineage import ancestry, beneath
from model_registry.version import VersionRef, find_version, parse_number
from tasks.desk import Desk
from tasks.finish import mark_candidate, read_finished
from tasks.policy import SAFE_TO_RETRY

PAGE = 500
log = logging.getLogger("lethe.settle")


@task(**SAFE_TO_RETRY)
def settle(
    desk: Desk, *, ids: Collection[str] | None = None, wanted: bool | None = None
) -> dict[str, str]:
    """Bring registered requests to their end, as far as they may go.

    Whether the alias moves says `wanted`, else the policy, else the setting `models.promote`. A
    request whose successor nobody serves waits as `registered`; it goes on when somebody promotes
    that version or a later one of its line. One whose successor came to stand beside what is served
    is carried out again. Every step does nothing twice.

    Returns:
        The alias that each successor dealt with is served by, or `candidate`, by NAME/NUMBER.
    """
    aliases: dict[str, str] = {}
    found = _grouped(desk.settings, _to_settle(desk, ids, asked=wanted is not None))
    # The newest last: the alias `candidate` is to end on it.
    for successor, served in sorted(found, key=_number):
        entries = found[successor, served]
        try:
            aliases[successor] = _settle(desk, entries, parse_number(successor), served, wanted)
        except (LetheError, MlflowException) as error:
            if ids is not None:
                raise
            # One version that somebody deleted must not keep the others from their end.
            log.warning("%s was not settled: %s", successor, type(error).__name__)
    return aliases


def _settle(
    desk: Desk, entries: Sequence[Entry], successor: VersionRef, served: str, wanted: bool | None
) -> str:
    rule = plan(desk.policy, entries[0].request.model, desk.settings)
    promoted = _promote(desk.settings, successor, served, wanted=rule.promote, asked=wanted)
    if promoted:
        desk.ledger.many.move(
            [entry.id for entry in entries],
            State.PROMOTED,
            actor=desk.worker,
            reason=f"The alias {served} is on it",
        )
    if promoted or rule.complete_when == "registered":
        complete(desk, entries)
    elif _is_beside(desk.settings, successor, served):
        # Who named a version by number asked for that one; the others asked for what is served.
        desk.ledger.many.again(
            [entry.id for entry in entries if "@" in entry.request.model],
            actor=desk.worker,
            reason=f"{successor} is beside the line that {served} is on, which still remembers",
        )
        return tags.CANDIDATE
    if not promoted:
        mark_candidate.fn(desk.settings, successor)
    return served if promoted else tags.CANDIDATE


def complete(desk: Desk, entries: Iterable[Entry]) -> None:
    """Move requests to their last state: partial when ids that they name were not in the data."""
    whole: list[str] = []
    partial: list[str] = []
    for entry in entries:
        (partial if entry.facts.missing else whole).append(entry.id)
    desk.ledger.many.move(whole, State.COMPLETED, actor=desk.worker, reason="Done")
    desk.ledger.many.move(
        partial,
        State.PARTIAL,
        actor=desk.worker,
        reason="Done for the rows that were found; some of the ids are not in the data set",
    )


def _to_settle(desk: Desk, ids: Collection[str] | None, *, asked: bool) -> list[Entry]:
    """Requests that are not at their end; with an explicit wish also those that are."""
    states = [State.REGISTERED, State.PROMOTED]
    if ids is not None:
        done = [State.COMPLETED, State.PARTIAL] if asked else []
        return [e for e in map(desk.ledger.get, ids) if e.state in {*states, *done}]
    found: list[Entry] = []
    while page := desk.ledger.find(
        states=states, limit=PAGE, after=found[-1].id if found else None
    ):
        found += page
    return found


def _grouped(settings: Settings, entries: Iterable[Entry]) -> dict[tuple[str, str], list[Entry]]:
    """Requests by their successor and the alias that it is to be served by."""
    found: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        alias = entry.request.model.partition("@")[2] or settings.models.alias
        found.setdefault((str(entry.facts.successor), alias), []).append(entry)
    return found


def _number(key: tuple[str, str]) -> int:
    return parse_number(key[0]).number


def _promote(
    settings: Settings,
    successor: VersionRef,
    alias: str,
    *,
    wanted: bool | None,
    asked: bool | None,
) -> bool:
    """Whether the alias is on the successor or a later version of its line, moved if it may be."""
    client = connect(settings)
    record = client.get_model_version(successor.name, str(successor.number))
    if _serves(settings, successor, alias):
        if alias in record.aliases:
            note_promotion(client, successor, alias)
        return True
    move = settings.models.promote if wanted is None else wanted
    if asked is not None:
        move = asked
    elif tags.ROLLED_BACK_AT in record.tags:
        move = False  # only an explicit wish overrules whoever rolled it back
    return move and utility_shown(settings, record.run_id) and promote(client, successor, alias)


def _serves(settings: Settings, successor: VersionRef, alias: str) -> bool:
    client = connect(settings)
    on = client.get_registered_model(successor.name).aliases.get(alias)
    if on is None:
        return False
    now, _ = find_version(client, f"{successor.name}/{on}")
    return successor.number in {int(record.version) for record in ancestry(client, now)}


def _is_beside(settings: Settings, successor: VersionRef, alias: str) -> bool:
    """Whether the alias is on a version that the successor neither came from nor led to.

    Nothing then ever brings the successor into service, and what serves still remembers.
    """
    client = connect(settings)
    on = client.get_registered_model(successor.name).aliases.get(alias)
    if on is None or _serves(settings, successor, alias):
        return False
    served = beneath(client, VersionRef(successor.name, int(on)))
    return served.number not in {int(record.version) for record in ancestry(client, successor)}


def utility_shown(settings: Settings, run_id: str) -> bool:
    """Whether anything shows what the edit cost; without that nobody should be served by it."""
    return read_finished(settings, run_id).utility_shown

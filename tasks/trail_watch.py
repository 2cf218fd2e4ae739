"""The check of the audit trail as a step that fails when something is found."""

from collections import Counter

from prefect import task

from lethe.audit.errors import AuditError
from lethe.settings import Settings
from tasks.artifacts import show_result
from tasks.desk import Desk
from tasks.policy import SAFE_TO_RETRY
from tasks.trail_check import check_trail

# A message that names more is not read; `lethe audit verify` names all.
MOST = 20


@task(**SAFE_TO_RETRY)
def watch_trail(desk: Desk) -> None:
    """Look at everything, keep the numbers as a Prefect artifact, and fail by name.

    What could not be looked at is counted, but is no reason to fail: it says nothing of the trail.

    Raises:
        AuditError: if something is not as it was recorded. Its message is that of the run's state.
        KeysError: if there are no public keys to check with.
    """
    tally: Counter[tuple[str, str]] = Counter()
    named: list[str] = []
    for one in check_trail(desk.settings, desk.ledger):
        tally[one.what, one.result] += 1
        if one.result == "wrong" and len(named) < MOST:
            named.append(f"{one.what}, {one.record}" if one.record else one.what)
    _show(desk.settings, tally)
    found = sum(number for (_, result), number in tally.items() if result == "wrong")
    if found:
        rest = found - len(named)
        raise AuditError(
            f"{found} checks of {tally.total()} found something that is not as it was recorded: "
            f"{'; '.join(named)}{f'; and {rest} more' if rest else ''}. Nothing was changed. Keep "
            "ledger, log and registry as they are for an inquiry. `lethe audit verify` says more."
        )


def _show(settings: Settings, tally: Counter[tuple[str, str]]) -> None:
    kinds = list(dict.fromkeys(what for what, _ in tally))
    results = ("ok", "wrong", "not checked")
    rows = [
        f"| {kind} | {' | '.join(str(tally[kind, one]) for one in results)} |" for kind in kinds
    ]
    table = "\n".join(("| what | ok | wrong | not checked |", "|---|---|---|---|", *rows))
    show_result(settings, "Check of the audit trail", table)

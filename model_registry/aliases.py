"""Which version serves: promotion moves an alias to a successor, rollback moves it back."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lethe.errors import ModelError
from model_registry import tags
from model_registry.lineage import ancestry, beneath
from model_registry.tags import CANDIDATE
from model_registry.version import VersionRef, find_version

if TYPE_CHECKING:
    from mlflow import MlflowClient

REFUSED = "refused"


def promote(client: "MlflowClient", successor: VersionRef, alias: str) -> bool:
    """Move the alias from the successor's parent, or an earlier version of its line, to it.

    Only from its own line: if somebody moved the alias elsewhere, it stays where it is. From an
    earlier version because several edits may have come between that nobody promoted; from a
    quarantine of one too, which stands in for it.

    Returns:
        Whether the alias moved, or was there already.

    Raises:
        ModelError: if the version's verdict does not allow it.
    """
    record = client.get_model_version(successor.name, str(successor.number))
    if record.tags.get(tags.VERDICT) == REFUSED:
        raise ModelError(
            f"{successor} was refused by its gates, so the alias {alias!r} stays where it is. "
            f"Read why: `lethe model show {successor}`."
        )
    parent = record.tags.get(tags.PARENT)
    if parent is None:
        raise ModelError(
            f"{successor} came from no other version, so there is no alias to take over. Nothing "
            f"was changed. Set one with MLflow itself, or name a version that Lethe unlearned."
        )
    made = record.tags.get(tags.ORIGIN) in {"unlearned", "quarantined"}
    if made and tags.STATEMENT not in record.tags:
        raise ModelError(
            f"{successor} has no statement: the run that made it was cut short. The alias "
            f"{alias!r} stays where it is. Finish it with "
            f"`lethe unlearn --request {record.tags.get(tags.REQUEST)}`."
        )
    now = _alias_target(client, successor.name, alias)
    if now != successor.number:
        line = {int(older.version) for older in ancestry(client, successor)}
        if now is None or beneath(client, VersionRef(successor.name, now)).number not in line:
            return False
        client.set_registered_model_alias(successor.name, alias, str(successor.number))
    note_promotion(client, successor, alias)
    return True


def note_promotion(client: "MlflowClient", successor: VersionRef, alias: str) -> None:
    """Give a version that the alias is on what a promotion leaves: its time, no `candidate`.

    Whoever moved the alias, and also when a kill came right after it moved.
    """
    known = client.get_model_version(successor.name, str(successor.number)).tags
    if known.get(tags.PROMOTED_AT, "") <= known.get(tags.ROLLED_BACK_AT, ""):
        _stamp(client, successor, tags.PROMOTED_AT)
    if alias != CANDIDATE and _alias_target(client, successor.name, CANDIDATE) == successor.number:
        client.delete_registered_model_alias(successor.name, CANDIDATE)


def rollback(client: "MlflowClient", name: str, alias: str) -> tuple[VersionRef, VersionRef]:
    """Move the alias from an unlearned version back to its parent.

    Returns:
        The version the alias left and the one it is on now.

    Raises:
        ModelError: if there is no such alias, or the version it is on has no parent.
    """
    ref, record = find_version(client, f"{name}@{alias}")
    parent = record.tags.get(tags.PARENT)
    if parent is None:
        raise ModelError(
            f"{name}@{alias} is version {ref.number}, which came from no other version, so there "
            f"is nothing to roll back to. Nothing was changed. `lethe model list` shows versions."
        )
    back, _ = find_version(client, parent)
    client.set_registered_model_alias(name, alias, str(back.number))
    _stamp(client, ref, tags.ROLLED_BACK_AT)
    return ref, back


def _alias_target(client: "MlflowClient", name: str, alias: str) -> int | None:
    found = client.get_registered_model(name).aliases.get(alias)
    return None if found is None else int(found)


def _stamp(client: "MlflowClient", ref: VersionRef, tag: str) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    client.set_model_version_tag(ref.name, str(ref.number), tag, now)

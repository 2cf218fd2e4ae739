"""What it means for deletion requests when a person moves the alias."""

from model_registry.version import VersionRef
from tasks.desk import Desk
from tasks.settle import settle


def promoted(desk: Desk, ref: VersionRef) -> int:
    """Bring the requests that waited for a promotion to their end; how many there were."""
    before = desk.ledger.many.forgotten_by(_line(desk, ref))
    settle.fn(desk, ids=[entry.id for entry in before])
    after = desk.ledger.many.forgotten_by(_line(desk, ref))
    return sum(a.state is not b.state for a, b in zip(after, before, strict=True))


def rolled_back(desk: Desk, left: VersionRef, now: VersionRef, *, actor: str) -> list[str]:
    """Note with every request that what it asked for is remembered again by what is served.

    Returns:
        The ids of those requests.
    """
    entries = desk.ledger.many.forgotten_by([str(left)])
    for entry in entries:
        text = f"{left} was rolled back: {now}, which still remembers, is served again"
        desk.ledger.note(entry.id, text, actor=actor)
    return [entry.id for entry in entries]


def _line(desk: Desk, ref: VersionRef) -> list[str]:
    from model_registry.connection import connect
    from model_registry.lineage import ancestry

    line = ancestry(connect(desk.settings), ref)
    return [f"{record.name}/{record.version}" for record in line]

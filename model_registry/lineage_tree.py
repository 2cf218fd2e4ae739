"""All versions of one model as a tree: which came from which, and what each was made to forget.

    nodes = tree(client, "digits")  # flat: every version comes after the one it was made from

Read from the registry's tags alone, so that it also holds for versions that Lethe did not make and
for those whose parent was deleted. `model_registry.lineage_picture` draws it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lethe.errors import ModelError
from model_registry import tags
from model_registry.lineage import class_names
from model_registry.version import MISSING, VersionRef, check_model_name

if TYPE_CHECKING:
    from mlflow import MlflowClient

BY_OTHERS = "logged by others"


@dataclass(frozen=True)
class Node:
    """One version; `parent` is what its tag says, `above` that parent's number if it is there.

    `forgot` is empty unless it was unlearned, `superseded_by` unless it was. `created` is UTC.
    """

    version: int
    parent: str | None
    above: int | None
    forgot: str
    verdict: str
    origin: str
    aliases: tuple[str, ...]
    superseded_by: str
    created: datetime

    @property
    def lost_parent(self) -> str | None:
        """The parent that the tag names, when it is not among the model's versions."""
        return self.parent if self.above is None else None

    @property
    def standing(self) -> str:
        """The verdict, or how the version came about."""
        return self.verdict or self.origin


def tree(client: "MlflowClient", name: str) -> list[Node]:
    """The versions of a registered model: first those without a parent, parents before children.

    Raises:
        ModelError: if there is no such model.
    """
    check_model_name(name)
    aliases: dict[int, list[str]] = {}
    for alias, number in _aliases(client, name).items():
        aliases.setdefault(int(number), []).append(alias)
    records = {int(v.version): v for v in client.search_model_versions(f"name = '{name}'")}
    nodes = [_node(record, records, aliases) for _, record in sorted(records.items())]
    depth = generations(nodes)
    return sorted(nodes, key=lambda node: (depth[node.version], node.version))


def generations(nodes: Sequence[Node]) -> dict[int, int]:
    """How many of the versions given lie between each version and the first of its line."""
    depth: dict[int, int] = {}
    for node in sorted(nodes, key=lambda node: node.version):
        depth[node.version] = 0 if node.above is None else depth.get(node.above, -1) + 1
    return depth


def children(nodes: Sequence[Node], version: int | None) -> list[Node]:
    """The versions made from one, oldest first; for None those whose parent is not there."""
    return sorted((n for n in nodes if n.above == version), key=lambda node: node.version)


def as_recorded(nodes: Sequence[Node], version: VersionRef, verdict: str) -> list[Node]:
    """The tree once a version's record is complete: it has its verdict, its parent is superseded.

    Without aliases: they move afterwards, and whoever reads the record wants to know that they did.
    """
    parent = next((node.above for node in nodes if node.version == version.number), None)
    changes: dict[int | None, dict[str, Any]] = {
        parent: {"superseded_by": str(version)},
        version.number: {"verdict": verdict},
    }
    return [replace(node, aliases=(), **changes.get(node.version, {})) for node in nodes]


def line(nodes: Sequence[Node], version: int, most: int) -> list[Node]:
    """A version and those it came from, oldest first; of more than `most` the nearest."""
    known = {node.version: node for node in nodes}
    found: list[Node] = []
    above: int | None = version
    while above is not None and len(found) < most:
        found.append(known[above])
        above = known[above].above
    return found[::-1]


def _node(record: Any, records: Mapping[int, Any], aliases: Mapping[int, list[str]]) -> Node:
    number, parent = int(record.version), record.tags.get(tags.PARENT)
    name, _, above = (parent or "").rpartition("/")
    # A parent is older than its child: whatever a tag says, the tree has no circle.
    known = (
        name == record.name and above.isdigit() and int(above) in records and int(above) < number
    )
    return Node(
        version=number,
        parent=parent,
        above=int(above) if known else None,
        forgot=_forgot(record),
        verdict=record.tags.get(tags.VERDICT, ""),
        origin=record.tags.get(tags.ORIGIN, BY_OTHERS),
        aliases=tuple(sorted(aliases.get(number, []))),
        superseded_by=record.tags.get(tags.SUPERSEDED_BY, ""),
        created=datetime.fromtimestamp(record.creation_timestamp / 1000, UTC),
    )


def _forgot(record: Any) -> str:
    names = class_names(record)
    if names:
        return f"{'class' if len(names) == 1 else 'classes'} {', '.join(names)}"
    rows = record.tags.get(tags.FORGET_ROWS, "")
    if not rows:
        kind: str = record.tags.get(tags.FORGET_KIND, "")
        return kind
    counted = f"{int(rows):,} {'row' if int(rows) == 1 else 'rows'}" if rows.isdigit() else rows
    return f"{counted} of persons" if record.tags.get(tags.FORGET_KIND) == "subject" else counted


def _aliases(client: "MlflowClient", name: str) -> dict[str, str]:
    from mlflow.exceptions import MlflowException

    try:
        found: dict[str, str] = client.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code not in MISSING:
            raise
        raise ModelError(
            f"There is no registered model {name!r}. Nothing was written. "
            f"`lethe model list` shows what there is."
        ) from error
    return found

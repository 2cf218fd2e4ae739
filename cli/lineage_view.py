"""How `lethe model lineage` shows a model's versions in a terminal."""

from collections.abc import Sequence

from rich.markup import escape
from rich.tree import Tree

from model_registry.lineage_tree import Node, children


def lineage_view(name: str, nodes: Sequence[Node]) -> Tree:
    """The versions as a tree; each line says what was forgotten, the verdict and the aliases."""
    root = Tree(f"[bold]{escape(name)}[/bold]")
    branches: dict[int | None, Tree] = {None: root}
    for node in nodes:  # parents come before their children
        branches[node.version] = branches[node.above].add(_line(node))
    if not children(nodes, None):
        root.add("no version is registered")
    return root


def _line(node: Node) -> str:
    words = [f"[bold]version {node.version}[/bold]  {escape(node.standing)}"]
    if node.forgot:
        words.append(f"forgot {escape(node.forgot)}")
    if node.lost_parent:
        words.append(f"from {escape(node.lost_parent)}, gone")
    if node.superseded_by:
        words.append(f"superseded by {escape(node.superseded_by)}")
    words.append(f"{node.created:%Y-%m-%d}")
    badges = "".join(f" [reverse] {escape(alias)} [/reverse]" for alias in node.aliases)
    line = ", ".join(words) + badges
    return f"[dim]{line}[/dim]" if node.superseded_by and not node.aliases else line

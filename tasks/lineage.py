"""The picture of where a new version came from, written to the record's folder."""

from pathlib import Path

from lethe.settings import Settings
from model_registry import tags
from model_registry.connection import connect
from model_registry.lineage_picture import draw, write
from model_registry.lineage_tree import as_recorded, line, tree
from model_registry.version import VersionRef

# A picture of more takes a second and is hard to read; `lethe model lineage --picture` draws all.
MOST = 12


def write_lineage(settings: Settings, successor: VersionRef, verdict: str, folder: Path) -> None:
    """Draw all versions of the model or, of more than `MOST`, the line that led to the successor.

    They are shown as they stand when the record is complete, which it is not yet.
    """
    nodes = as_recorded(tree(connect(settings), successor.name), successor, verdict)
    shown = nodes if len(nodes) <= MOST else line(nodes, successor.number, MOST)
    write(draw(successor.name, shown, new=successor.number), folder / tags.LINEAGE_FILE)

"""Whether rows that were forgotten before include those that are asked for now."""

from collections.abc import Sequence

from lethe.data.selection import Selection
from lethe.data.union import AnyOf, parts_of


def covered(selection: Selection | AnyOf | None, earlier: Sequence[Selection | AnyOf]) -> bool:
    """Whether every row that a selection names was named before, whatever the data holds.

    Judged by what is named, so rows that came later count too: who asked for a class or a person
    asked for all of it. A conjunction is covered by what covers one of its conditions.
    """
    if selection is None:
        return False
    known = [part for one in earlier for part in parts_of(one)]
    return all(_covers(part, known) for part in parts_of(selection))


def _covers(wanted: Selection, known: Sequence[Selection]) -> bool:
    if wanted in known:
        return True
    for name in ("classes", "subjects", "samples"):
        values = getattr(wanted, name)
        # Only selections by this one condition name all of its rows.
        gone = {value for one in known if _only(one) == name for value in getattr(one, name)}
        if values and gone.issuperset(values):
            return True
    return False


def _only(selection: Selection) -> str | None:
    given = [n for n in ("classes", "subjects", "samples") if getattr(selection, n) is not None]
    return given[0] if len(given) == 1 else None

"""What several commands read from their arguments in the same way."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lethe.errors import SettingsError

if TYPE_CHECKING:
    from lethe.data.selection import Selection


def operator() -> str:
    """Who is at the keyboard, as the ledger's history names them."""
    import getpass
    import re

    try:
        name = re.sub(r"[^A-Za-z0-9._-]", "", getpass.getuser())
    except OSError:  # no such user, as in some containers
        name = ""
    return f"cli:{name or 'operator'}"


def check_either(filed: object, model: str | None, dataset: str | None, *selected: object) -> None:
    """Either a filed request is named, or a model and a data set.

    Raises:
        SettingsError: if both are, or neither.
    """
    if filed and any((model, dataset, *selected)):
        raise SettingsError(
            "--request names a filed request, which says itself what is to be forgotten. Nothing "
            "was done. Leave MODEL, --dataset and the selection out."
        )
    if not filed and (model is None or dataset is None):
        raise SettingsError(
            "Name a MODEL and a --dataset, or a filed --request. Nothing was done. `--help` shows "
            "an example."
        )


def read_selection(
    classes: str | None, subjects_file: Path | None, samples_file: Path | None
) -> "Selection | None":
    """The rows that the options select; None when none was given."""
    from lethe.data.selection import Selection, read_ids

    if classes is None and subjects_file is None and samples_file is None:
        return None
    names = None if classes is None else tuple(n.strip() for n in classes.split(",") if n.strip())
    return Selection(
        classes=names,
        subjects=None if subjects_file is None else read_ids(subjects_file),
        samples=None if samples_file is None else read_ids(samples_file),
    )


def read_pairs(pairs: list[str] | None, option: str = "--option") -> dict[str, Any] | None:
    """Values by name of a repeatable NAME=VALUE; a value that is not JSON is a text.

    Raises:
        SettingsError: if one has no equals sign.
    """
    if not pairs:
        return None
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise SettingsError(f"{option} {pair!r} is not NAME=VALUE. Nothing was done.")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
    return found

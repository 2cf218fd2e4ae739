"""The audit trail as OpenLineage events in a file, one a line."""

from pathlib import Path

from lethe.audit.errors import AuditError
from lethe.audit.statement import Statement
from lethe.deletion.ledger.ledger import Ledger
from lethe.errors import SettingsError


def export_events(ledger: Ledger, path: Path) -> int:
    """Write an event for every record; how many they are.

    Raises:
        SettingsError: if openlineage-python is not installed, or the file is there or cannot be
            written.
        AuditError: if a record is none of this version of Lethe.
    """
    try:
        from openlineage.client.serde import Serde

        from lethe.audit.openlineage import run_event
    except ModuleNotFoundError as error:
        raise SettingsError(
            "OpenLineage events need the package openlineage-python, which is not installed. "
            "Nothing was written. Install it: pip install 'lethe[openlineage]'"
        ) from error

    number = 0
    try:
        with path.open("x", encoding="utf-8") as file:
            for kept in ledger.statements.after():
                event = run_event(Statement.of_line(kept.line), digest=kept.digest)
                file.write(Serde.to_json(event) + "\n")
                number += 1
    except FileExistsError:
        raise SettingsError(
            f"{path} is there already and stays as it is. Name another file with --out."
        ) from None
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written: {error.strerror}. Name another file with --out."
        ) from None
    except ValueError as error:
        path.unlink()
        raise AuditError(
            f"Record {number + 1} is not a statement of this version of Lethe. Nothing was "
            "written. `lethe audit verify` says what is wrong with it."
        ) from error
    return number

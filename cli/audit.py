"""`lethe audit`: the signed record of what was forgotten, and whether it still holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Json

if TYPE_CHECKING:
    from lethe.audit.keystore import KeyStore
    from lethe.deletion.ledger.ledger import Ledger
    from lethe.settings import Settings

app = typer.Typer(
    help="Read, check and hand out the signed record of what was forgotten.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
keys = typer.Typer(
    help="Keys that records are signed with.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(keys, name="keys")
RequestId = Annotated[str, typer.Argument(help="Id of a deletion request, req-…")]


@app.callback()
def audit() -> None:
    """Read, check and hand out the signed record of what was forgotten."""


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, help="Most records to show, the newest.")] = 50,
    as_json: Json = False,
) -> None:
    """List the records, the newest last.

    Example: lethe audit list
    """
    from cli.output import print_json, print_table
    from lethe.audit.statement import Statement

    with _ledger() as (_, ledger):
        first = max(0, ledger.statements.count() - limit)
        kept = list(ledger.statements.after(first))
    found: list[dict[str, Any]] = []
    for one in kept:
        said = Statement.of_line(one.line).predicate
        found.append(
            {
                "record": one.sequence,
                "signed_at": one.signed_at.isoformat(),
                "verdict": said.verdict,
                "parent": said.parent.uri.removeprefix("models:/"),
                "successor": said.successor and said.successor.uri.removeprefix("models:/"),
                "requests": [request.id for request in said.requests],
                "sha256": one.digest,
                "key_id": one.key_id,
            }
        )
    if as_json:
        print_json(found)
        return
    rows = [
        [
            str(one["record"]),
            str(one["signed_at"])[:16].replace("T", " "),
            str(one["verdict"]),
            f"{one['parent']} > {one['successor']}" if one["successor"] else str(one["parent"]),
            _listed(one["requests"]),
            str(one["sha256"])[:12],
        ]
        for one in found
    ]
    columns = ["no.", "signed (UTC)", "verdict", "model", "requests", "sha256"]
    print_table("Records", columns, rows)


@app.command()
def verify(
    offline: Annotated[
        bool, typer.Option("--offline", help="Leave out MLflow, the data and S3.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check every record: signatures, chain, copies, and that MLflow and DVC still say the same.

    Exits with 9 if anything is not as it was recorded. Nothing is changed, and no private key is
    needed. A bundle is checked without Lethe's servers by `python -m lethe.audit.verify`.

    Example: lethe audit verify
    """
    from collections import Counter
    from dataclasses import asdict

    from cli.output import out, print_json, print_table

    with _ledger() as (settings, ledger):
        from tasks.trail_check import check_trail

        checks = list(check_trail(settings, ledger, offline=offline))
        total = ledger.statements.count()
    wrong = [one for one in checks if one.result == "wrong"]
    if as_json:
        print_json({"records": total, "good": not wrong, "checks": [asdict(one) for one in checks]})
    else:
        tally = Counter((one.what, str(one.result)) for one in checks)
        kinds = list(dict.fromkeys(one.what for one in checks))
        results = ("ok", "wrong", "not checked")
        rows = [[kind, *(str(tally[kind, result] or "") for result in results)] for kind in kinds]
        print_table(f"Records: {total}", ["what", *results], rows)
        for one in checks:
            if one.result != "ok":
                about = f"{one.record}: " if one.record else ""
                out.print(f"{one.result}: {one.what}: {about}{one.words}", markup=False)
    if wrong:
        from lethe.audit.errors import AuditError

        raise AuditError(
            f"{len(wrong)} checks of {len(checks)} found something that is not as it was recorded."
            " Nothing was changed. Keep ledger, log and registry as they are for an inquiry."
        )
    if not as_json:
        out.print("Everything that could be checked is as it was recorded.")


@app.command()
def receipt(
    request: RequestId,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="File to write; default: REQUEST.receipt.json.")
    ] = None,
) -> None:
    """Write a receipt: proof for a requester that their rows were in the forget set.

    It opens the requester's own rows and says nothing of others. It holds their row ids: it is for
    the requester alone.

    Example: lethe audit receipt req-0123456789ab
    """
    import json

    from cli.output import note
    from tasks.receipts import receipt_for

    with _ledger() as (settings, ledger):
        made = receipt_for(settings, ledger, request)
    path = out_file or Path(f"{request}.receipt.json")
    _write(path, json.dumps(made, indent=1).encode() + b"\n")
    note(f"Wrote {path}: {len(made['rows'])} rows, record {made['statement']['sequence']}.")


@app.command()
def certificate(
    request: RequestId,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="File to write; default: REQUEST.html.")
    ] = None,
) -> None:
    """Write the certificate of a request: one page for people, to read or print.

    Example: lethe audit certificate req-0123456789ab
    """
    from cli.output import note
    from lethe.logs import trail
    from tasks.certificates import certificate_of
    from tasks.receipts import record_of

    with _ledger() as (settings, ledger):
        entry, kept, statement = record_of(ledger, request)
        page = certificate_of(settings, statement, kept, entry.id)
    path = out_file or Path(f"{request}.html")
    _write(path, page.encode())
    ids = {"request_id": entry.id, "statement": kept.digest}
    trail.info("A certificate was written", extra=ids)
    note(f"Wrote {path}.")


@app.command()
def export(
    out_file: Annotated[Path, typer.Option("--out", help="Zip to write.")] = Path("records.zip"),
    request: Annotated[str | None, typer.Option(help="Only the record of this request.")] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Only records signed from this day on, UTC.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(help="Only records signed before this day, UTC.")
    ] = None,
) -> None:
    """Write records as a bundle that anybody can check: `python -m lethe.audit.verify`.

    Example: lethe audit export --request req-0123456789ab --out record.zip
    """
    from datetime import UTC

    from cli.output import note
    from lethe.errors import SettingsError
    from tasks.audit_export import Wanted, export_bundle

    if out_file.exists():
        raise SettingsError(
            f"{out_file} is there already and stays as it is. Name another file with --out."
        )
    with _ledger() as (settings, ledger):
        wanted = Wanted(
            request_id=request,
            since=since and since.replace(tzinfo=UTC),
            until=until and until.replace(tzinfo=UTC),
        )
        number = export_bundle(settings, ledger, out_file, wanted)
    note(f"Wrote {out_file}: {number} records. Check it: python -m lethe.audit.verify {out_file}")


@app.command()
def openlineage(
    out_file: Annotated[
        Path, typer.Option("--out", help="File to write, one event a line.")
    ] = Path("events.jsonl"),
) -> None:
    """Write every record as an OpenLineage event, for tools that show lineage.

    Needs the extra: pip install 'lethe[openlineage]'. Nothing is sent: the file is for a client of
    yours.

    Example: lethe audit openlineage --out events.jsonl
    """
    from cli.output import note
    from tasks.openlineage_export import export_events

    with _ledger() as (_, ledger):
        number = export_events(ledger, out_file)
    note(f"Wrote {out_file}: {number} events.")


@keys.command("init")
def init() -> None:
    """Make the first signing key, readable by this user only.

    Example: lethe audit keys init
    """
    from datetime import UTC, datetime

    from cli.output import note

    store, _ = _store()
    ring = store.init(datetime.now(UTC))
    note(f"Made key {ring.newest.key_id} in {store.folder}.")
    note("Tell whoever checks records this id, or give them `lethe audit keys export`.")


@keys.command()
def rotate() -> None:
    """Make a new signing key, endorsed by the last one, which stays accepted for a while.

    Example: lethe audit keys rotate
    """
    from datetime import UTC, datetime, timedelta

    from cli.output import note

    store, settings = _store()
    overlap = timedelta(days=settings.audit.overlap_days)
    ring = store.rotate(datetime.now(UTC), overlap)
    note(
        f"Made key {ring.newest.key_id}; the one before may sign until {ring.newest.overlap_until}."
    )
    note("Export the key ring again: `lethe audit keys export`.")


@keys.command("export")
def export_keys(
    out_file: Annotated[
        Path | None, typer.Option("--out", help="File to write; default: keyring.json.")
    ] = None,
) -> None:
    """Write the public keys, for whoever checks records. It holds nothing secret.

    Example: lethe audit keys export --out keyring.json
    """
    from cli.output import note
    from lethe.audit.errors import KeysError

    store, _ = _store()
    ring = store.ring()
    if ring is None:
        raise KeysError(
            f"There are no keys in {store.folder}. Nothing was written. Make the first one: "
            "`lethe audit keys init`."
        )
    path = out_file or Path("keyring.json")
    _write(path, ring.dumps() + b"\n")
    note(f"Wrote {path}: {len(ring.keys)} keys, the first is {ring.keys[0].key_id}.")


@contextmanager
def _ledger() -> Iterator[tuple["Settings", "Ledger"]]:
    from cli.environment import prepare_environment
    from lethe.settings import load_settings

    settings = load_settings()
    prepare_environment(settings)
    from lethe.deletion.ledger.ledger import open_ledger
    from lethe.keys import record_key

    with open_ledger(settings.ledger_url, key=record_key(settings.record_key_file)) as ledger:
        yield settings, ledger


def _store() -> tuple["KeyStore", "Settings"]:
    from lethe.audit.keystore import KeyStore
    from lethe.settings import load_settings

    settings = load_settings()
    return KeyStore(settings.audit_folder / "keys"), settings


def _write(path: Path, content: bytes) -> None:
    """Write a file that is not there yet.

    Raises:
        SettingsError: if it is there, or cannot be written.
    """
    from lethe.errors import SettingsError

    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        raise SettingsError(
            f"{path} is there already and stays as it is. Name another file with --out."
        ) from None
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written: {error.strerror}. Name another file with --out."
        ) from None


def _listed(ids: list[str]) -> str:
    return ids[0] if len(ids) == 1 else f"{ids[0]} and {len(ids) - 1} more"

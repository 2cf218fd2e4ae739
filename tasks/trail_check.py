"""The whole audit trail against everything that can be reached: ledger, copies, MLflow, data.

Nothing here changes anything, and no key but the public ones is needed.
"""

from collections.abc import Iterator
from itertools import zip_longest

from lethe.audit.chain import ChainCheck, Checkpoint
from lethe.audit.checks import Check, not_checked, ok, wrong
from lethe.audit.errors import KeysError
from lethe.audit.keyring import KeyRing
from lethe.audit.keystore import KeyStore
from lethe.audit.statement import Statement
from lethe.data.errors import MissingDatasetError, MissingRevisionError
from lethe.data.repository import open_dataset
from lethe.deletion.ledger.ledger import Ledger
from lethe.errors import LetheError, RequestError
from lethe.settings import Settings
from model_registry.connection import connect
from model_registry.record_check import check_in_mlflow, unrecorded
from tasks.notary import CHECKPOINT, LOG, open_anchor, record_name


def check_trail(settings: Settings, ledger: Ledger, *, offline: bool = False) -> Iterator[Check]:
    """Everything that can be looked at, as it is looked at.

    Args:
        settings: where log, keys, registry and data are.
        ledger: the ledger.
        offline: leave out MLflow, the data and S3.

    Raises:
        KeysError: if there is no key ring to check with.
    """
    ring = trusted_ring(settings)
    known: set[str] = set()
    for statement, digest, name, checks in _chain(settings, ledger, ring):
        yield from checks
        known.add(digest)
        if statement is None:
            continue
        yield from _requests(ledger, statement, digest, name)
        if not offline:
            yield from check_in_mlflow(connect(settings), name, statement.predicate, digest)
            yield _data(statement, name)
    yield _log(settings, ledger)
    if not offline:
        yield from unrecorded(connect(settings), known)
        yield from _anchored(settings, ledger)


def trusted_ring(settings: Settings) -> KeyRing:
    """The public keys of this installation.

    Raises:
        KeysError: if there are none.
    """
    store = KeyStore(settings.audit_folder / "keys")
    ring = store.ring()
    if ring is None:
        raise KeysError(
            f"There is no key ring in {store.folder}, so no signature can be checked. Nothing was "
            "changed. Put keyring.json there, as `lethe audit keys export` writes it."
        )
    return ring


def _chain(
    settings: Settings, ledger: Ledger, ring: KeyRing
) -> Iterator[tuple[Statement | None, str, str, list[Check]]]:
    """Records in order, with what their signatures and links say."""
    checkpoint, about = _checkpoint(settings, ring)
    chain = ChainCheck(ring, checkpoint)
    for kept in ledger.statements.after():
        link, _, problems = chain.take(kept.line)
        name = record_name(kept)
        checks = [wrong("chain", name, words) for words in problems]
        statement = None
        if link is not None and not problems:
            checks = [ok("chain", name)]
            try:
                statement = Statement.of_line(kept.line)
            except ValueError:
                checks = [wrong("form", name, "it is not a statement of this version of Lethe")]
        if link is not None and link.digest != kept.digest:
            checks.append(wrong("chain", name, "the ledger names another digest for it"))
        yield statement, kept.digest, name, checks
    ends = [wrong("chain", "", words) for words in chain.end()]
    yield None, "", "", [*about, *ends]


def _checkpoint(settings: Settings, ring: KeyRing) -> tuple[Checkpoint | None, list[Check]]:
    path = settings.audit_folder / CHECKPOINT
    try:
        found = Checkpoint.read(path.read_bytes().rstrip(b"\n"), ring)
    except FileNotFoundError:
        return None, [not_checked("checkpoint", "", f"there is no {path}")]
    except ValueError as error:
        return None, [wrong("checkpoint", "", f"{path}: {error}")]
    return found, [ok("checkpoint")]


def _requests(ledger: Ledger, statement: Statement, digest: str, name: str) -> Iterator[Check]:
    """Whether the ledger's requests point to the record that names them."""
    for one in statement.predicate.requests:
        try:
            entry = ledger.get(one.id)
        except RequestError:
            yield wrong("requests", name, f"{one.id} is not in the ledger")
            continue
        later = entry.facts.statement
        if later == digest or (later is not None and ledger.statements.get(later) is not None):
            yield ok("requests", name)
        elif later is None:
            words = f"{one.id} is {entry.state} and has no record in the ledger"
            yield not_checked("requests", name, words)
        else:
            yield wrong("requests", name, f"{one.id} names a record that is not in the trail")


def _data(statement: Statement, name: str) -> Check:
    """Whether the data set at that commit is still the one that was read."""
    said = statement.predicate.data
    try:
        found = open_dataset(said.repository, said.path, said.git_rev).dvc_md5
    except (MissingDatasetError, MissingRevisionError):
        return wrong("data", name, f"{said.path} at {said.git_rev[:12]} is not in the repository")
    except LetheError as error:
        words = f"{said.path} at {said.git_rev[:12]} cannot be read ({type(error).__name__})"
        return not_checked("data", name, words)
    if found != said.dvc_md5:
        words = f"{said.path} at {said.git_rev[:12]} has DVC md5 {found}, not {said.dvc_md5}"
        return wrong("data", name, words)
    return ok("data", name)


def _log(settings: Settings, ledger: Ledger) -> Check:
    """Whether the file has the ledger's records, line by line."""
    path = settings.audit_folder / LOG
    if not path.exists():
        return not_checked("log", "", f"there is no {path}")
    with path.open("rb") as file:
        lines = (line.rstrip(b"\n") for line in file)
        for number, (line, kept) in enumerate(zip_longest(lines, ledger.statements.after()), 1):
            if kept is None:
                return wrong("log", f"record {number}", f"{path} has it and the ledger does not")
            if line is None:
                return wrong("log", record_name(kept), f"{path} does not have it")
            if line != kept.line:
                return wrong("log", record_name(kept), f"line {number} of {path} is another one")
    return ok("log")


def _anchored(settings: Settings, ledger: Ledger) -> Iterator[Check]:
    """Whether the write-once copies say the same, and know of no record that is missing here."""
    anchor = open_anchor(settings)
    if anchor is None:
        words = "no audit.s3.bucket is set: nobody outside would notice a trail made anew"
        yield not_checked("write-once copy", "", words)
        return
    try:
        names = set(anchor.names("statements/"))
        for kept in ledger.statements.after():
            place = f"statements/{kept.sequence:012d}.json"
            found = anchor.get(place) if place in names else None
            names.discard(place)
            if found is None:
                words = "there is no copy of it yet"
                yield not_checked("write-once copy", record_name(kept), words)
            elif found != kept.line:
                words = "its write-once copy is another one"
                yield wrong("write-once copy", record_name(kept), words)
            else:
                yield ok("write-once copy", record_name(kept))
        for place in sorted(names):
            yield wrong("write-once copy", place, "the ledger has no such record any more")
    except LetheError as error:
        yield not_checked("write-once copy", "", str(error))

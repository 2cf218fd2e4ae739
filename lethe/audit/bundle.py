r"""A bundle: one zip with records, the keys to check them by, and a checkpoint; for an auditor.

    write_bundle(path, lines=lines, ring=ring, checkpoint_line=line, digests=digests,
                 what={"all": True})
    python -m lethe.audit.verify path                  # needs nothing else

| file | holds |
|---|---|
| `bundle.json` | format, when it was made, what was chosen, SHA-256 of every other file |
| `keyring.json` | the public keys (`lethe.audit.keyring`) |
| `checkpoint.json` | how far the whole chain goes, signed (`lethe.audit.chain`), one line |
| `statements.jsonl` | the chosen records in their order, a DSSE envelope a line |
| `proofs.json` | where not all were chosen: each one's path to the checkpoint's root (RFC 6962) |
| `receipts/NAME.json` | receipts of single rows (`lethe.audit.receipt`) |
| `certificates/NAME.html` | the same for people to read |

What was chosen is `{"all": true}`, `{"request": id}`, or `{"from": ..., "to": ...}`: either places
in the chain, both included, or moments (RFC 3339) between which the records were signed.
`bundle.json` itself is not signed. The same content gives the same bytes: names are sorted, dates
fixed. `proofs.json` has a line per record, so that it can be read without holding all of it.

Needs the standard library, `cryptography` and `rfc8785` alone.
"""

import hashlib
import json
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any, Final

import rfc8785

from lethe.audit.chain import read_record
from lethe.audit.errors import ChainError
from lethe.audit.keyring import KeyRing, stamp
from lethe.audit.merkle import Tree, leaf_hash

FORMAT: Final = "https://lethe.dev/bundle/v1"
MANIFEST: Final = "bundle.json"
RING: Final = "keyring.json"
CHECKPOINT: Final = "checkpoint.json"
STATEMENTS: Final = "statements.jsonl"
PROOFS: Final = "proofs.json"
EXTRA: Final = re.compile(
    r"receipts/[A-Za-z0-9][A-Za-z0-9._-]{0,199}\.json"
    r"|certificates/[A-Za-z0-9][A-Za-z0-9._-]{0,199}\.html"
)
PROOFS_BEGIN: Final = b'{"format":"https://lethe.dev/proofs/v1","paths":{\n'
PROOFS_END: Final = b"}}\n"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the first that a zip can name
_READABLE: Final = 0o100644 << 16


def write_bundle(
    path: Path,
    *,
    lines: Iterable[bytes],
    ring: KeyRing,
    checkpoint_line: bytes | None,
    digests: Sequence[str],
    what: Mapping[str, Any],
    extra: Mapping[str, bytes] | None = None,
    made_at: datetime | None = None,
) -> None:
    """Write a bundle; the file is there whole or not at all.

    Args:
        path: the file; one that is there is replaced.
        lines: the chosen records in their order, without line breaks.
        ring: the public keys.
        checkpoint_line: the signed checkpoint; None where there is none.
        digests: digests of all records up to the checkpoint, hex, for the proofs; not used when
            everything was chosen.
        what: what was chosen, see above.
        extra: receipts and certificates by their names in the bundle.
        made_at: when; now, if it is not said.

    Raises:
        ChainError: if a record is none, or is not the one that the checkpoint covers.
        ValueError: if an extra file has a name that a bundle does not hold.
    """
    for name in extra or {}:
        if not EXTRA.fullmatch(name):
            raise ValueError(f"a bundle holds no file named {name!r}")
    with TemporaryDirectory(prefix="lethe-bundle-") as folder:
        parts = Path(folder)
        _write(parts / RING, [ring.dumps()])
        if checkpoint_line is not None:
            _write(parts / CHECKPOINT, [checkpoint_line.rstrip(b"\n"), b"\n"])
        if what == {"all": True}:
            _write(parts / STATEMENTS, (line + b"\n" for line in lines))
        else:
            _write_chosen(parts, lines, digests)
        for name, content in (extra or {}).items():
            _write(parts / name, [content])
        _write(parts / MANIFEST, [_manifest(parts, what, made_at or datetime.now(UTC))])
        _pack(path, parts)


def _write_chosen(parts: Path, lines: Iterable[bytes], digests: Sequence[str]) -> None:
    tree = Tree(leaf_hash(bytes.fromhex(one)) for one in digests)
    with (parts / STATEMENTS).open("wb") as statements, (parts / PROOFS).open("wb") as proofs:
        before = PROOFS_BEGIN
        for line in lines:
            number = _place(line, digests)
            statements.write(line + b"\n")
            proofs.write(before + _path_line(number, tree.path(number - 1)))
            before = b",\n"
        proofs.write((PROOFS_BEGIN if before == PROOFS_BEGIN else b"\n") + PROOFS_END)


def _place(line: bytes, digests: Sequence[str]) -> int:
    """A chosen record's number, when it is the one that the checkpoint covers."""
    try:
        link = read_record(line)[2]
        covered = digests[link.sequence - 1] == link.digest
    except (ValueError, IndexError):
        covered = False
    if not covered:
        raise ChainError(
            "A chosen record is not among those that the checkpoint covers. No bundle was written. "
            "Bring the copies up to the ledger with the next edit, or choose fewer records."
        )
    return link.sequence


def _manifest(parts: Path, what: Mapping[str, Any], made_at: datetime) -> bytes:
    files = {name: _sha256(parts / name) for name in _names(parts)}
    return rfc8785.dumps(
        {"format": FORMAT, "made_at": stamp(made_at), "what": dict(what), "files": files}
    )


def _pack(path: Path, parts: Path) -> None:
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as draft:
        try:
            with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as made:
                for name in _names(parts):
                    info = zipfile.ZipInfo(name, _EPOCH)
                    info.compress_type = zipfile.ZIP_DEFLATED
                    info.create_system, info.external_attr = 3, _READABLE
                    info.file_size = (parts / name).stat().st_size
                    with (parts / name).open("rb") as source, made.open(info, "w") as target:
                        shutil.copyfileobj(source, target)
            Path(draft.name).chmod(0o600)
            Path(draft.name).replace(path)
        except BaseException:
            Path(draft.name).unlink(missing_ok=True)
            raise


def _names(parts: Path) -> list[str]:
    return sorted(one.relative_to(parts).as_posix() for one in parts.rglob("*") if one.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        file.writelines(pieces)


def paths_in(lines: Iterator[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """Numbers of records and their paths, out of the lines of `proofs.json`.

    Raises:
        ValueError: if they are not written as `write_bundle` writes them.
    """
    if next(lines, b"") + b"\n" != PROOFS_BEGIN:
        raise ValueError("it does not begin as a list of proofs does")
    more = None
    for line in lines:
        if line + b"\n" == PROOFS_END:
            if not more and next(lines, None) is None:
                return
            break
        if more is False:
            break
        more = line.endswith(b",")
        yield _path_in(line.removesuffix(b","))
    raise ValueError("it does not end as a list of proofs does")


def _path_line(number: int, path: Iterable[bytes]) -> bytes:
    hashes = ",".join(f'"{one.hex()}"' for one in path)
    return f'"{number}":[{hashes}]'.encode()


def _path_in(line: bytes) -> tuple[int, list[bytes]]:
    try:
        ((name, hashes),) = json.loads(b"{" + line + b"}").items()
        number, path = int(name), [bytes.fromhex(one) for one in hashes]
        exact = _path_line(number, path) == line
    except (ValueError, TypeError, AttributeError, RecursionError):
        exact = False
    if not exact:
        raise ValueError("a line of it is no proof")
    return number, path

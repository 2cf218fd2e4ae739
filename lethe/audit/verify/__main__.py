"""The command `python -m lethe.audit.verify`: exit code 0 good, 9 something is wrong, 2 neither."""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from lethe.audit.keyring import KeyRing
from lethe.audit.verify.archive import BundleError
from lethe.audit.verify.check import verify_bundle

LARGEST: Final = 16 * 1024**2
USAGE: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a bundle and say what was found."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    try:
        report = verify_bundle(
            asked.bundle,
            keys=asked.keys and _keys(asked.keys),
            key_id=asked.key_id and _key_id(asked.key_id),
            receipt=asked.receipt and _receipt(asked.receipt),
            checkpoint=asked.checkpoint and _content(asked.checkpoint),
        )
    except (BundleError, argparse.ArgumentTypeError) as error:
        _say(sys.stderr, str(error))
        return USAGE
    _say(sys.stdout, report.to_json() if asked.json else "\n".join(report.lines()))
    return report.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lethe.audit.verify",
        description="Check a bundle of records, without any server.",
        epilog="Exit code 0: in order; 9: something is wrong; 2: not a bundle, or a wrong command.",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE.zip")
    trusted = parser.add_mutually_exclusive_group()
    trusted.add_argument(
        "--keys", type=Path, metavar="FILE", help="the key ring, from elsewhere than the bundle"
    )
    trusted.add_argument("--key-id", metavar="HEX", help="or the id of its first key, 64 digits")
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="a newer checkpoint, from elsewhere"
    )
    parser.add_argument("--receipt", type=Path, metavar="FILE", help="a receipt of single rows")
    parser.add_argument("--json", action="store_true", help="for programs")
    return parser


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise _unusable(path, error.strerror or "it cannot be read") from None
    if len(data) > LARGEST:
        raise _unusable(path, "it is larger than 16 MiB")
    return data


def _keys(path: Path) -> KeyRing:
    try:
        return KeyRing.parse(_content(path))
    except (ValueError, TypeError):
        raise _unusable(path, "it is not a key ring") from None


def _key_id(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise argparse.ArgumentTypeError(
            "--key-id takes all 64 hexadecimal digits of the first key's id. Nothing was checked. "
            "It is the keyId of the first entry of keyring.json, as the controller published it."
        )
    return text


def _receipt(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(_content(path))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not found:
        raise _unusable(path, "it is not a receipt")
    return found


def _unusable(path: Path, why: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(
        f"{path}: {why}. Nothing was checked. Give the file as it was handed out."
    )


def _say(where: Any, text: str) -> None:
    # A file name may hold what the terminal's encoding cannot.
    encoding = where.encoding or "utf-8"
    where.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


if __name__ == "__main__":
    sys.exit(main())

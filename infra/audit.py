"""Asks a database of vulnerabilities about every version in constraints.txt.

    python infra/audit.py                    # 0 clean, 1 something is known, 3 nobody was asked
    python infra/audit.py --unreached-ok     # for CI without a network: 0 in place of 3; says so

pip-audit (the extra infra) does the asking. Whether it could is read from its answer: without one,
nothing was audited, and that is said in capitals and never counts as clean. What is accepted for a
reason stands in infra/audit-accepted.txt, one id a line with the reason behind it.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ACCEPTED = ROOT / "infra" / "audit-accepted.txt"
CLEAN, KNOWN, UNREACHED = 0, 1, 3
SECONDS = 600

Ask = Callable[[], "subprocess.CompletedProcess[str]"]


def ask() -> "subprocess.CompletedProcess[str]":
    """pip-audit's answer for the pinned versions, without resolving or installing anything."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(ROOT / "constraints.txt")]
    command += ["--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)


def audit(asked: Ask, accepted: Sequence[str], *, unreached_ok: bool = False) -> tuple[int, str]:
    """Exit code, and what to say.

    Args:
        asked: gives pip-audit's answer.
        accepted: ids that are known and accepted.
        unreached_ok: 0 where nobody could be asked.
    """
    try:
        answer = asked()
        found: dict[str, Any] = json.loads(answer.stdout)
        packages: list[dict[str, Any]] = found["dependencies"]
    except (subprocess.TimeoutExpired, OSError, ValueError, KeyError, TypeError):
        packages = []
    asked_about = [one for one in packages if "vulns" in one]
    if not asked_about:
        text = (
            "NOT AUDITED: no database of vulnerabilities was reached, so nothing is known about "
            "the pinned versions. Run `make audit` where there is a network."
        )
        return (CLEAN if unreached_ok else UNREACHED), text
    known = [
        f"{one['name']} {one['version']}: {vulnerability['id']}, mended in "
        f"{', '.join(vulnerability.get('fix_versions', [])) or 'no version yet'}"
        for one in asked_about
        for vulnerability in one["vulns"]
        if not {vulnerability["id"], *vulnerability.get("aliases", [])} & set(accepted)
    ]
    skipped = [one["name"] for one in packages if "vulns" not in one]
    lines = [f"Audited {len(asked_about)} packages: {len(known)} known vulnerabilities"]
    lines += known
    if skipped:
        lines.append(f"Not audited, for they are not in the database: {', '.join(skipped)}")
    return (KNOWN if known else CLEAN), "\n".join(lines)


def accepted_ids(text: str) -> list[str]:
    """Ids of a file of accepted ones; each line needs its reason.

    Raises:
        ValueError: if one has none.
    """
    ids = []
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, reason = line.partition(" ")
            if not reason.strip():
                raise ValueError(f"{name} is accepted without a reason: write it behind the id")
            ids.append(name)
    return ids


def main() -> int:
    """Audit, and say how it went."""
    parser = argparse.ArgumentParser(description="Audit the pinned versions")
    parser.add_argument(
        "--unreached-ok", action="store_true", help="exit with 0 if nobody was asked"
    )
    accepted = accepted_ids(ACCEPTED.read_text(encoding="utf-8"))
    code, text = audit(ask, accepted, unreached_ok=parser.parse_args().unreached_ok)
    print(text, file=sys.stdout if text.startswith("Audited") else sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())

"""How long a long audit trail takes to verify, how much memory, and what adding to it costs.

    python benchmarks/audit_chain.py
    python benchmarks/audit_chain.py --number 5000 --no-write

Makes a chain of 100,000 signed statements of realistic size, packs it into a bundle, and verifies
the bundle in a process of its own, as an auditor would; the same with the first tenth of it. This
is done with one process and with two workers beside it, in turns. Peak memory is what the process
takes beyond the same process with a bundle of ten, and what its workers take. The cost of adding
one is the median over 50 records of `Ledger.statements.append` and `LogFile.catch_up` together, on
SQLite, behind 100 records and behind all of them.

Bars: 100,000 in under 60 s as the command does it, with two workers; ten times as many in no more
than 1.5 times the memory plus 8 MiB, workers included; and adding one behind all of them no more
than twice as dear as behind 100. Exits with 1 when one is missed.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lethe.audit.keyring import KeyRing
    from lethe.audit.keystore import KeySigner
    from lethe.deletion.ledger.ledger import Ledger
    from lethe.deletion.ledger.statements import Kept

sys.path.insert(0, str(Path(__file__).parents[1]))

RESULT = Path(__file__).parent / "results" / "audit_chain.json"
BAR_SECONDS, BAR_RATIO = 60, 2.0
BAR_MEMORY_RATIO, BAR_MEMORY_MIB = 1.5, 8
FEW, APPENDS, BASELINE = 100, 50, 10
ONE, TWO = 1, 2  # processes that examine
START = datetime(2026, 11, 21, 12, tzinfo=UTC)
SENTENCE = (
    "The worst retained class, {}, went from 98.1 % to 97.3 % on 1,204 held-out rows, a loss of "
    "0.8 points; at most 10.0 points may be lost."
)


def body(number: int) -> dict[str, Any]:
    """What one record says, as the flows make it: 2 requests, 6 gates, 24 figures."""
    figures = {f"after.class_{n}.accuracy": (number * 7 + n) % 1000 / 1000 for n in range(24)}
    gates = [
        {"name": f"gate_{n}", "measured": 0.012, "threshold": 0.1, "comparison": "<=",
         "passed": True, "words": SENTENCE.format(n)}
        for n in range(6)
    ]  # fmt: skip
    requests = [
        {"id": f"req-{number}-{n}", "ground": "GDPR Art. 17(1)(b)", "kind": "samples",
         "received_at": "2026-11-20T08:00:00Z", "due_at": "2026-12-20T08:00:00Z",
         "ticket": f"DPO-{number}-{n}", "source": "privacy-issues", "regulation": "gdpr",
         "policy": "2026-11@sha256:0123456789ab", "approved_by": ["dpo"], "rows": 137,
         "recognised": 0.25}
        for n in range(2)
    ]  # fmt: skip
    return {
        "batch": f"batch-{number}",
        "requests": requests,
        "parent": _version(number),
        "successor": _version(number + 1),
        "data": {
            "repository": "https://example.org/data.git", "path": "data/digits",
            "git_rev": "c" * 40, "dvc_md5": "d" * 32 + ".dir", "kind": "samples", "classes": [],
            "count": 411, "held_out_count": 46, "total": 1347, "set_digest": "e" * 64,
            "rows_root": "9" * 64,
        },
        "method": {"name": "pte", "seed": 0, "settings": {f"setting_{n}": n for n in range(12)}},
        "compute": {"device": "cpu", "seconds": {"probe": 0.5, "edit": 1.25, "evaluation": 0.75}},
        "code": {"lethe": "0.1.0", "commit": "a" * 40, "python": "3.11.7", "platform": "Linux",
                 "environment_sha256": "f" * 64},
        "figures": figures,
        "gates": gates,
        "verdict": "suppressed",
        "rule": "output_level_passed",
        "reason": "No gate failed; the feature level was not measured.",
        "not_covered": ["Hidden layers: the feature level was not measured."] * 4,
        "times": {"started": "2026-11-21T11:00:00Z", "finished": "2026-11-21T11:00:09Z"},
        "run_id": f"{number:032x}",
    }  # fmt: skip


def _version(number: int) -> dict[str, Any]:
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return {"uri": f"models:/digits/{number}", "version": number, "weights_sha256": digest}


def record(last: "Kept | None", signer: "KeySigner") -> "Kept":
    """The next record, signed."""
    from lethe.audit.dsse import sign
    from lethe.audit.keyring import stamp
    from lethe.audit.merkle import CompactRange
    from lethe.audit.verify.content import PREDICATE_TYPES, STATEMENT_TYPE
    from lethe.deletion.ledger.statements import Kept

    number = 1 if last is None else last.sequence + 1
    at = START + timedelta(seconds=number)
    place = {
        "sequence": number, "previous": last.digest if last else None,
        "key_id": signer.key_id, "signed_at": stamp(at),
    }  # fmt: skip
    predicate = {**body(number), "record": place}
    after = predicate["successor"]
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": after["uri"], "digest": {"sha256": after["weights_sha256"]}}],
        "predicateType": min(PREDICATE_TYPES),
        "predicate": predicate,
    }
    # ASCII names and short numbers: as RFC 8785 writes them, and a hundred times faster.
    payload = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(payload).hexdigest()
    before = (
        CompactRange()
        if last is None
        else CompactRange.from_hex(last.sequence, json.loads(last.tree))
    )
    return Kept(
        sequence=number,
        digest=digest,
        run_id=predicate["run_id"],
        key_id=signer.key_id,
        signed_at=at,
        line=sign(payload, signer).line(),
        tree=json.dumps(before.append(bytes.fromhex(digest)).to_hex()),
    )


def chain(number: int, signer: "KeySigner") -> "Iterator[Kept]":
    """That many records."""
    last = None
    for _ in range(number):
        last = record(last, signer)
        yield last


def keys() -> "tuple[KeySigner, KeyRing]":
    """A key and its ring."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from lethe.audit.keyring import KeyRing
    from lethe.audit.keystore import KeySigner

    signer = KeySigner(Ed25519PrivateKey.generate())
    first = KeyRing(()).with_key(signer.public_key, signer, now=START, overlap=timedelta())
    return signer, first


def bundle(log: Path, number: int, last: "Kept", signer: "KeySigner", ring: "KeyRing") -> Path:
    """A bundle of the first records of a file."""
    from itertools import islice

    from lethe.audit.bundle import write_bundle
    from lethe.audit.chain import Checkpoint
    from lethe.audit.keyring import stamp
    from lethe.audit.merkle import CompactRange

    root = CompactRange.from_hex(number, json.loads(last.tree)).root().hex()
    end = Checkpoint(number, last.digest, root, stamp(last.signed_at), signer.key_id)
    path = log.with_name(f"{number}.zip")
    with log.open("rb") as file:
        write_bundle(
            path,
            lines=(line[:-1] for line in islice(file, number)),
            ring=ring,
            checkpoint_line=end.signed(signer).line(),
            digests=(),
            what={"all": True},
        )
    return path


def verify(path: Path, workers: int) -> dict[str, Any]:
    """Verify a bundle in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_verify, (path, workers))


def _verify(path: Path, workers: int) -> dict[str, Any]:
    from lethe.audit.verify import shared, verify_bundle

    of_workers: list[float] = []

    class Watched(shared.Worker):
        def __exit__(self, *error: object) -> None:
            of_workers.append(_peak(self.pid))
            super().__exit__(*error)

    shared.Worker = Watched  # type: ignore[misc]
    began = time.perf_counter()
    report = verify_bundle(path, workers=workers)
    seconds, times = time.perf_counter() - began, os.times()
    computing = times.user + times.system + times.children_user + times.children_system
    peak = _peak(os.getpid())
    number = report.good_by_kind["records"]
    return {
        "workers": workers,
        "records": number,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(computing, 2),
        "records_per_second": round(number / seconds),
        "peak_mib": round(peak, 1),
        "workers_peak_mib": round(sum(of_workers), 1),
        "wrong": report.wrong_total,
    }


def _peak(pid: int) -> float:
    """Most memory of a process, MiB; not ru_maxrss, which begins with what the parent had."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def appending(ledgers: "dict[Path, Ledger]", signer: "KeySigner") -> list[float]:
    """Median milliseconds of adding a record to ledger and file; in turns, so that load is fair."""
    taken: dict[Path, list[float]] = {log: [] for log in ledgers}
    for _ in range(APPENDS):
        for log, ledger in ledgers.items():
            taken[log].append(1000 * _append(ledger, log, signer))
    return [round(statistics.median(one), 3) for one in taken.values()]


def _append(ledger: "Ledger", log: Path, signer: "KeySigner") -> float:
    from lethe.audit.logfile import LogFile

    made = record(ledger.statements.last(), signer)  # to make it costs the same wherever it stands
    began = time.perf_counter()
    ledger.statements.append(made.run_id, lambda _: made)
    LogFile(log).catch_up(lambda after: (kept.line for kept in ledger.statements.after(after)))
    return time.perf_counter() - began


def fill(database: Path, records: "Iterator[Kept]") -> None:
    """Put records into a ledger, past its front door: a commit for each would take an hour."""
    import sqlite3

    with sqlite3.connect(database) as connection:
        connection.executemany(
            "INSERT INTO statements (sequence, digest, run_id, key_id, signed_at, line, tree, work)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (one.sequence, one.digest, one.run_id, one.key_id,
                 one.signed_at.strftime("%Y-%m-%d %H:%M:%S.000000"), one.line, one.tree, one.run_id)
                for one in records
            ),
        )  # fmt: skip
    connection.close()


def measure(number: int, folder: Path) -> dict[str, Any]:
    """All figures."""
    from lethe.deletion.ledger.ledger import open_ledger

    signer, ring = keys()
    log, few_log = folder / "statements.jsonl", folder / "few.jsonl"
    marks: dict[int, Kept] = {}

    def kept() -> "Iterator[Kept]":
        with log.open("wb") as file:
            for one in chain(number, signer):
                file.write(one.line + b"\n")
                if one.sequence in {BASELINE, FEW, number // 10, number}:
                    marks[one.sequence] = one
                yield one

    began = time.perf_counter()
    for name, records in ((few_log, chain(FEW, signer)), (log, kept())):
        url = f"sqlite:///{name.with_suffix('.db')}"
        open_ledger(url, key=bytes(32)).close()
        fill(name.with_suffix(".db"), records)
    made = time.perf_counter() - began
    paths = [bundle(log, n, marks[n], signer, ring) for n in (BASELINE, number // 10, number)]
    baseline = verify(paths[0], ONE)
    verified = [verify(path, workers) for path in paths[1:] for workers in (ONE, TWO)]
    size = log.stat().st_size
    with (
        open_ledger(f"sqlite:///{few_log.with_suffix('.db')}", key=bytes(32)) as few_ledger,
        open_ledger(f"sqlite:///{log.with_suffix('.db')}", key=bytes(32)) as ledger,
    ):
        few, many = appending({few_log: few_ledger, log: ledger}, signer)
    for one in verified:
        one["peak_above_baseline_mib"] = round(one["peak_mib"] - baseline["peak_mib"], 1)
    return {
        "bytes_per_record": round(size / number),
        "making_s": round(made, 1),
        "verify": verified,
        "two_workers_ratio": round(verified[3]["seconds"] / verified[2]["seconds"], 2),
        "baseline_mib": baseline["peak_mib"],
        "append_median_ms": {str(FEW): few, str(number): many},
        "append_ratio": round(many / few, 2),
    }


def missed(found: dict[str, Any]) -> list[str]:
    """Bars that were missed."""
    tenth_alone, tenth, alone, whole = found["verify"]
    checks = (
        (whole["seconds"] < BAR_SECONDS, "seconds"),
        (_constant(tenth_alone, alone) and _constant(tenth, whole), "memory"),
        (found["append_ratio"] <= BAR_RATIO, "appending"),
        (not any(one["wrong"] for one in found["verify"]), "verification"),
    )
    return [name for good, name in checks if not good]


def _constant(tenth: dict[str, Any], whole: dict[str, Any]) -> bool:
    """Whether ten times as many take about the same memory; workers too, where both have them."""
    few, many = (max(0.0, float(one["peak_above_baseline_mib"])) for one in (tenth, whole))
    if tenth["workers_peak_mib"]:
        few, many = few + tenth["workers_peak_mib"], many + whole["workers_peak_mib"]
    return bool(many <= BAR_MEMORY_RATIO * few + BAR_MEMORY_MIB)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=100_000, help="records")
    parser.add_argument("--no-write", action="store_true", help="leave the result file as it is")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="lethe-chain-") as folder:
        found = measure(asked.number, Path(folder))
    result = {
        "command": "python benchmarks/audit_chain.py",
        "cpus": os.cpu_count(),
        "bar_seconds": BAR_SECONDS,
        "bar_append_ratio": BAR_RATIO,
        **found,
        "missed": missed(found),
    }
    print(json.dumps(result, indent=2))
    if not asked.no_write:
        RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return int(bool(result["missed"]))


if __name__ == "__main__":
    sys.exit(main())

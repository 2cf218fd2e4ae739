"""Many requests for many models: the wall time of two workers against that of one.

    python benchmarks/workers.py --requests 40 --models 8 --workers 1,2
    python benchmarks/workers.py --requests 4 --models 2 --quick --no-write    # to see it work

A stack of its own (docs/stack.md) in a temporary folder, on free ports: networks trained on
digits, each from another seed and under another name, then one signed ticket for each request, all
delivered at once, a class each, in turn for one model after the other. Every request is an edit of
its own (`--batch-limit 1`). The stack is prepared once and stopped; each run begins with a copy of
it, so all have the same versions and ask for the same. The wall time is that from the first ticket
to the end of the last request, by the ledger's histories. The other figures tell whether workers
did work beside each other: how many processes carried requests out, how many models were in work at
a time, how busy the machine was.

Runs that are in the result are not measured again; `--again` does. Stopped half-way, it goes on
where it was. Bar: two workers need at most 0.6 of what one needs, where the cores allow that; the
command exits with 1 when it is missed, or when a request did not come to its end.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from infra.stack.config import StackSettings
from infra.stack.demo import OVER, lethe, request_of
from infra.stack.errors import StackError
from infra.stack.prepare import run_environment, sample_policy
from infra.stack.programs import BIN
from infra.stack.scratch import make_project, scratch_settings
from infra.stack.tickets import deliver, labelled
from infra.stack.tls import trust
from infra.stack.up import start, stop

RESULT = Path(__file__).parent / "results" / "workers.json"
# Short, for a socket, and where PostgreSQL's account may go, if root runs this.
FOLDER = Path(tempfile.gettempdir()) / "lethe-workers"
PATIENCE = 1800.0
BAR = 0.6
CLASSES = 10
PAUSE = 1.0


def names(models: int) -> list[str]:
    """Registered names of the networks."""
    return [f"digits_{number}" for number in range(models)]


def asked(requests: int, models: int) -> list[tuple[str, str]]:
    """Model and class of each request, in turn: no model is asked for one class twice."""
    if requests > models * (CLASSES - 1):
        raise SystemExit(f"At most {CLASSES - 1} of {CLASSES} classes of a model can go.")
    return [(names(models)[number % models], str(number // models)) for number in range(requests)]


def prepare(folder: Path, models: int, clients: str) -> None:
    """A stopped stack with data and networks in FOLDER/base, once; what is there already stays."""
    kept = folder / "prepared.json"
    facts = {"models": models, "clients": clients}
    if kept.exists() and json.loads(kept.read_text(encoding="utf-8")) == facts:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make_project(folder / "project")
    settings = scratch_settings(folder / "home", folder / "project", gpu_workers=1)
    settings.home.mkdir()
    (settings.home / "clients.env").write_text(clients, encoding="utf-8")
    policy = sample_policy(settings, model="*", answered=False)
    (settings.home / "policy.toml").write_text(policy, encoding="utf-8")
    try:
        credentials = start(settings)
        lethe(settings, credentials, "data", "prepare", "digits")
        environment = run_environment(settings, credentials)
        for seed, name in enumerate(names(models)):
            subprocess.run(
                [str(BIN / "lethe"), "train", "digits", "--model", name],
                env=environment | {"LETHE_SEED": str(seed)},
                cwd=settings.project,
                check=True,
            )
    finally:
        stop(settings)
    copy(settings.home, folder / "base")
    kept.write_text(json.dumps(facts), encoding="utf-8")


def copy(home: Path, to: Path) -> None:
    """A stopped stack's folder with owners and rights: PostgreSQL's data are another account's."""
    shutil.rmtree(to, ignore_errors=True)
    subprocess.run([shutil.which("cp") or "/bin/cp", "-a", str(home), str(to)], check=True)


def measure(folder: Path, requests: Sequence[tuple[str, str]], workers: int) -> dict[str, Any]:
    """All requests on a copy of the prepared stack, with so many workers of the pool gpu."""
    settings = scratch_settings(folder / "home", folder / "project", gpu_workers=workers)
    copy(folder / "base", settings.home)
    try:
        credentials = start(settings)
        load, busy, ids = os.getloadavg()[0], psutil.cpu_times(), []
        for number, (model, klass) in enumerate(requests):
            reply = deliver(
                settings.url(settings.intake_port),
                labelled(number + 1, klass, f"{model}@champion"),
                delivery=f"benchmark-{number}",
                secret=credentials["WEBHOOK_SECRET"],
                verify=trust(settings),
            )
            reply.raise_for_status()
            ids.append(reply.json()["request_id"])
        seen = wait(settings, credentials, ids)
        used = psutil.cpu_times()
        loads = [round(load, 2), round(os.getloadavg()[0], 2)]
    finally:
        stop(settings)
    idle = (used.idle + used.iowait) - (busy.idle + busy.iowait)
    return summary(seen) | {
        "workers": workers,
        "load_before_and_after": loads,
        "busy_share": round(1 - idle / (sum(used) - sum(busy)), 3),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def wait(
    settings: StackSettings, credentials: Mapping[str, str], ids: Sequence[str]
) -> list[dict[str, Any]]:
    """Every request with its history, once all are over.

    Raises:
        StackError: if nothing moves for half an hour.
    """
    over: dict[str, dict[str, Any]] = {}
    moved = time.monotonic()
    while len(over) < len(ids):
        for one in ids:
            if one not in over:
                seen = request_of(settings, credentials, one)
                if seen["state"] not in OVER:
                    break  # they go about in this order; the next look will see those behind it
                over[one], moved = seen, time.monotonic()
                print(f"  {len(over)} of {len(ids)} over: {one} is {seen['state']}", flush=True)
        if time.monotonic() - moved > PATIENCE:
            raise StackError(f"Nothing moved for {PATIENCE:.0f} s. See {settings.logs}.")
        time.sleep(PAUSE)
    return [over[one] for one in ids]


def summary(seen: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Wall time, the times of each request, and what went on beside what; seconds.

    Args:
        seen: requests as the intake service tells them, with their histories.
    """
    spans, rows, actors = [], [], set()
    first = min(_when(one["history"][0]) for one in seen)
    for one in seen:
        moves = one["history"]
        begun = [m for m in moves if m["after"] == "in_progress" and m["before"] != m["after"]]
        done = [m for m in moves if m["before"] == "in_progress" and m["after"] != "in_progress"]
        if begun and done:
            spans.append((_when(begun[0]), _when(done[-1]), one["model"]))
            actors.add(begun[0]["actor"])
        rows.append(
            {
                "model": one["model"].partition("@")[0],
                "state": one["state"],
                "waited": round(_when(begun[0]) - first, 1) if begun else None,
                "edited": round(_when(done[-1]) - _when(begun[0]), 1) if begun and done else None,
                "ended": round(_when(moves[-1]) - first, 1),
            }
        )
    return {
        "wall_seconds": round(max(row["ended"] for row in rows), 1),
        "processes": len(actors),
        "models_at_a_time": _at_a_time(spans),
        "edit_seconds_median": statistics.median(r["edited"] for r in rows if r["edited"]),
        "states": dict(Counter(row["state"] for row in rows)),
        "requests": rows,
    }


def _at_a_time(spans: Sequence[tuple[float, float, str]]) -> dict[str, float]:
    """The most models in work at one time, and how many there were on average."""
    changes: dict[float, Counter[str]] = {}
    for begun, done, model in spans:
        changes.setdefault(begun, Counter())[model] += 1
        changes.setdefault(done, Counter())[model] -= 1
    now: Counter[str] = Counter()
    most, area, before = 0, 0.0, min(changes)
    for moment in sorted(changes):
        area += (moment - before) * sum(number > 0 for number in now.values())
        now.update(changes[moment])
        most, before = max(most, sum(number > 0 for number in now.values())), moment
    return {"most": most, "mean": round(area / (max(changes) - min(changes)), 2)}


def _when(move: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(move["at"]).timestamp()


def main() -> int:
    """Measure, print, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=40)
    parser.add_argument("--models", type=int, default=8)
    parser.add_argument("--workers", default="1,2", help="numbers of workers, in this order")
    parser.add_argument("--batch-limit", type=int, default=1, help="requests of one edit at most")
    parser.add_argument("--quick", action="store_true", help="measure no hidden layers")
    parser.add_argument("--again", action="store_true", help="also what the result has already")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for the stack; it is emptied")
    parser.add_argument("--no-write", action="store_true", help="leave the result file as it is")
    given = parser.parse_args()
    clients = (
        f"OMP_NUM_THREADS=1\nLETHE_LEDGER__BATCH_LIMIT={given.batch_limit}\n"
        f"LETHE_EVALUATION__FEATURE_LEVEL={'false' if given.quick else 'true'}\n"
    )
    for name in [name for name in os.environ if name.startswith("LETHE_")]:
        del os.environ[name]
    os.environ["OMP_NUM_THREADS"] = "1"
    head = {
        "command": f"python benchmarks/workers.py --requests {given.requests} "
        f"--models {given.models} --workers {given.workers}"
        f"{f' --batch-limit {given.batch_limit}' if given.batch_limit != 1 else ''}"
        f"{' --quick' if given.quick else ''}",
        "cpus": os.cpu_count(),
        "bar": BAR,
    }
    known = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    same = not given.again and all(known.get(name) == value for name, value in head.items())
    runs = {one["workers"]: one for one in known["runs"]} if same else {}
    requests = asked(given.requests, given.models)
    wanted = [int(word) for word in given.workers.split(",")]
    prepare(given.folder, given.models, clients)
    for workers in wanted:
        if workers not in runs:
            runs[workers] = measure(given.folder, requests, workers)
        print(json.dumps({**runs[workers], "requests": len(requests)}, indent=2), flush=True)
        result = head | {"ratio": ratio(runs), "runs": list(runs.values())}
        if not given.no_write:
            RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(given.folder / "home", ignore_errors=True)
    share = ratio(runs)
    print(f"two workers need {share} of what one needs; bar {BAR}" if share else "no ratio")
    ended = all(set(one["states"]) == {"completed"} for one in runs.values())
    return int(not ended or (share is not None and share > BAR))


def ratio(runs: Mapping[int, Mapping[str, Any]]) -> float | None:
    """Wall time of two workers over that of one."""
    if not {1, 2} <= runs.keys():
        return None
    return round(runs[2]["wall_seconds"] / runs[1]["wall_seconds"], 3)


if __name__ == "__main__":
    sys.exit(main())

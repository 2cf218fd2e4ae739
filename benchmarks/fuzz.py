"""Generated deliveries and API calls against the intake service, in this process.

    python benchmarks/fuzz.py                  # 10,000 cases
    python benchmarks/fuzz.py --cases 2000 --seed 1 --no-write

Hypothesis makes tickets of every kind of source that are right, almost right (one field replaced or
missing), junk (deep nesting, huge numbers, half surrogate pairs, NULs) or no JSON at all, signs
them rightly, wrongly, with another source's secret, for another body, long ago or not at all, and
calls the API with good and bad tokens, ids, filters and bodies. Counted are the status codes. There
must be no 5xx, nothing unsigned may pass, and in the end the ledger must hold what was accepted,
once, and nothing else. The command exits with 1 otherwise.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.insert(0, str(Path(__file__).parent))
from fuzz_calls import KNOWN, PLACE, POLICY, SECRETS, Call, calls, deliveries

RESULT = Path(__file__).parent / "results" / "fuzz.json"


@dataclass
class Tally:
    """What the service answered, and what it should have in its ledger."""

    statuses: Counter[str] = field(default_factory=Counter)
    filed: set[str] = field(default_factory=set)
    told: list[str] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    controllers: set[str] = field(default_factory=set)
    unreadable: int = 0
    wrong: list[str] = field(default_factory=list)

    def note(self, call: Call, status: int, body: bytes) -> None:
        """Count an answer and check what can be checked at once."""
        route = call.path.split("/")[1] if call.path != "/" else "page"
        self.statuses[f"{call.method} {route} {status}"] += 1
        if status >= 500:
            self.wrong.append(f"{call.method} {route}: {status} {body[:200]!r}")
        if not call.believed and status not in {401, 422, 404, 405}:
            self.wrong.append(f"{call.method} {route}: {status} although it cannot be trusted")
        if call.method != "POST" or status not in {201, 202, 422}:
            return
        told = json.loads(body)
        if told.get("reception") == "unreadable":
            self.unreadable += 1
        if status == 201:
            # OpenDSR's answer names the controller's own id.
            self.controllers.add(told["subject_request_id"])
        if request_id := told.get("request_id"):
            self.named.add(request_id)
            if told["reception"] == "filed":
                self.filed.add(request_id)
                self.told.append(request_id)


class World:
    """The application with its lifespan, in an event loop of its own."""

    def __init__(self, folder: Path) -> None:
        from lethe.deletion.intake.app import create_app
        from lethe.deletion.intake.reload import LivePolicy
        from lethe.deletion.ledger.ledger import open_ledger
        from lethe.settings import Settings

        os.environ |= {f"FUZZ_{name.upper()}": secret for name, secret in SECRETS.items()}
        (folder / "policy.toml").write_text(POLICY + _signing(folder), encoding="utf-8")
        settings_ = Settings(home=folder / "state", policy={"file": folder / "policy.toml"})
        self.ledger = open_ledger(settings_.ledger_url, key=b"k" * 32)
        self.app = create_app(self.ledger, LivePolicy(settings_), settings_)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._context = self.app.router.lifespan_context(self.app)
        self._await(self._context.__aenter__())
        return self

    def __exit__(self, *error: object) -> None:
        self._await(self._context.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self.ledger.close()

    def answer(self, call: Call) -> tuple[int, bytes]:
        """Status and body of the answer to a call."""
        answered: tuple[int, bytes] = self._await(self._call(call))
        return answered

    def _await(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    async def _call(self, call: Call) -> tuple[int, bytes]:
        path, _, query = call.path.partition("?")
        length = (b"content-length", str(len(call.body)).encode())
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": call.method,
            "scheme": "http",
            "path": _unquote(path),
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [*call.headers, length],
            "client": ("192.0.2.1", 1),
            "server": ("service", 80),
        }
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": call.body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        return sent[0]["status"], b"".join(m.get("body", b"") for m in sent)


def _signing(folder: Path) -> str:
    """A key for OpenDSR's answers, and where it is."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / "dsr.pem"
    path.touch(mode=0o600)
    path.write_bytes(pem)
    answer = f'domain = "lethe.example.org"\nkey = "file:{path}"\n'
    return f"[sources.dsr.answer]\n{answer}"


def _unquote(path: str) -> str:
    """As a server does it: percent signs decoded, bytes that are no UTF-8 replaced."""
    return unquote(path, errors="replace")


@contextmanager
def world() -> Iterator[World]:
    """The service on an empty ledger."""
    with tempfile.TemporaryDirectory(prefix="lethe-fuzz-") as name, World(Path(name)) as made:
        yield made


def campaign(cases: int, number: int) -> dict[str, Any]:
    """Send so many generated calls and compare the ledger with the answers."""
    tally, started = Tally(), time.perf_counter()
    with world() as made:

        @seed(number)
        @settings(
            max_examples=cases,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(deliveries() | deliveries() | calls())
        def run(call: Call) -> None:
            status, body = made.answer(replace(call, path=_known(call.path, tally.told)))
            tally.note(call, status, body)

        run()
        entries, after = [], None
        while page := made.ledger.find(limit=500, after=after):
            entries += page
            after = page[-1].id
        unreadable = len(made.ledger.unreadable(limit=10**6))
    return judge(tally, entries, unreadable) | {
        "seconds": round(time.perf_counter() - started, 1),
        "seed": number,
    }


def _known(path: str, told: list[str]) -> str:
    """A path with ids of requests in their places."""
    for n in range(KNOWN if "PLACE" in path else 0):
        path = path.replace(PLACE.format(n), told[n] if n < len(told) else "req-000000000000")
    return path


def judge(tally: Tally, entries: list[Any], unreadable: int) -> dict[str, Any]:
    """The figures, and what is wrong with them."""
    wrong = list(tally.wrong)
    there = {entry.id for entry in entries}
    controllers = {e.request.ticket for e in entries if e.request.source == "dsr"}
    # A ticket whose request was rejected or taken back may ask again.
    tickets = Counter(
        (e.request.source, e.request.ticket)
        for e in entries
        if e.request.ticket and e.state not in {"cancelled", "rejected"}
    )
    untold = {
        e.id
        for e in entries
        if e.id not in tally.named
        and not (e.request.source == "dsr" and e.request.ticket in tally.controllers)
    }
    problems = {
        "requests nobody was told of": untold,
        "accepted requests are not in the ledger": tally.named - there,
        "accepted controllers' requests are not in the ledger": tally.controllers - controllers,
        "tickets are in the ledger twice": {t for t, n in tickets.items() if n > 1},
    }
    wrong += [f"{len(found)} {what}" for what, found in problems.items() if found]
    if unreadable > tally.unreadable:
        wrong.append("unreadable tickets that nobody was told of")
    return {
        "cases": sum(tally.statuses.values()),
        "server_errors": sum(n for s, n in tally.statuses.items() if s.split()[-1] >= "500"),
        "filed": len(tally.filed),
        "in_ledger": len(there),
        "unreadable": unreadable,
        "statuses": dict(sorted(tally.statuses.items())),
        "wrong": wrong[:20],
    }


def main() -> int:
    """Run, print, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-write", action="store_true", help="leave the result file as it is")
    arguments = parser.parse_args()
    result = {"command": "python benchmarks/fuzz.py"} | campaign(arguments.cases, arguments.seed)
    print(json.dumps(result, indent=2))
    if not arguments.no_write:
        RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return int(bool(result["wrong"]) or result["cases"] < arguments.cases)


if __name__ == "__main__":
    sys.exit(main())

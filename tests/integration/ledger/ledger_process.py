"""A process of its own on the ledger of a test, told by the test what to do.

    python ledger_process.py URL open                   open the ledger and close it
    python ledger_process.py URL accept NUMBER SEED     deliver NUMBER tickets in groups
    python ledger_process.py URL work NAME              carry out batches until nothing is left
    python ledger_process.py URL take NAME              claim a batch, say so, never come back

It writes one line of JSON per thing done, after it was committed.
"""

import json
import random
import sys
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "deletion" / "ledger"))

from ledger_tools import KEY, an_arrival, ids_in

from lethe.deletion.ledger.ledger import open_ledger
from lethe.deletion.ledger.types import Letter, Outcome
from lethe.deletion.states import ANSWERED, State

GROUP = 5


def announce(entry, move):
    """One letter per answer that is owed, under a key that is the same if it is told again."""
    if move.after not in ANSWERED | {State.REGISTERED}:
        return []
    return [Letter("webhook", f"{entry.id}:{move.after}", {})]


def say(**what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def accept(ledger, number, seed):
    order = [an_arrival(f"T-{n}", id=f"req-{n}") for n in range(int(number))]
    random.Random(seed).shuffle(order)  # noqa: S311 (an order, no secret)
    for n in range(0, len(order), GROUP):
        group = [replace(a, delivery_id=f"{seed}:{a.ticket}") for a in order[n : n + GROUP]]
        for arrival, receipt in zip(group, ledger.accept(group), strict=True):
            say(ticket=arrival.ticket, reception=receipt.reception, id=receipt.request_id)


def work(ledger, name):
    while (batch := ledger.claim(name, lease=timedelta(hours=1), limit=4)) is not None:
        say(claimed=batch.id, attempt=batch.attempt, ids=ids_in(batch))
        for entry in batch.entries:
            ledger.conclude(batch, {entry.id: Outcome(State.REGISTERED, f"by {name}")})
            say(done=entry.id)


def take(ledger, name):
    batch = ledger.claim(name, lease=timedelta(hours=1), limit=100)
    say(claimed=batch.id, token=batch.token, ids=ids_in(batch))
    threading.Event().wait()


if __name__ == "__main__":
    with open_ledger(sys.argv[1], key=KEY, announce=announce) as opened:
        acts = {"open": lambda _: None, "accept": accept, "work": work, "take": take}
        acts[sys.argv[2]](opened, *sys.argv[3:])

"""Several processes on one ledger, some of them killed: nothing is lost and nothing done twice."""

import json
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_tools import DAY, KEY, MINUTE, a_request, an_arrival, ids_in, judged, states_of

from lethe.deletion.ledger.errors import LeaseLostError
from lethe.deletion.ledger.ledger import open_ledger
from lethe.deletion.ledger.types import Outcome, Reception
from lethe.deletion.states import State

SCRIPT = Path(__file__).with_name("ledger_process.py")
DONE = Outcome(State.REGISTERED, "done")


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request, tmp_path):
    """Address of a ledger with nothing in it, on either database."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgresql_url")
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def start(ledger_url):
    """Starts processes on the test's ledger; none outlives the test."""
    running = []

    def run(*words):
        command = [sys.executable, str(SCRIPT), ledger_url, *map(str, words)]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def real(ledger_url):
    """The ledger with the real time, which the processes go by."""
    with open_ledger(ledger_url, key=KEY) as ledger:
        yield ledger


def lines(process):
    return [json.loads(line) for line in process.stdout]


def test_processes_that_open_a_new_ledger_at_once_all_succeed(start):
    processes = [start("open") for _ in range(3)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]


def test_processes_that_deliver_the_same_tickets_file_each_once(start, real):
    processes = [start("accept", 60, seed) for seed in range(3)]
    said = [line for process in processes for line in lines(process)]
    assert all(process.wait() == 0 for process in processes)
    counted = Counter(line["reception"] for line in said)
    assert counted == {Reception.FILED: 60, Reception.REPEATED: 120}
    assert {entry.id for entry in real.find(limit=1000)} == {f"req-{n}" for n in range(60)}


def test_what_a_killed_process_said_it_had_taken_in_is_there_and_the_rest_can_be_sent_again(
    start, real
):
    for seed, lines_before_death in enumerate((1, 17, 40)):
        process = start("accept", 200, seed)
        said = [json.loads(process.stdout.readline()) for _ in range(lines_before_death)]
        process.send_signal(signal.SIGKILL)
        said += lines(process)
        process.wait()
        there = {entry.id: entry for entry in real.find(limit=1000)}
        for line in said:
            assert line["id"] in there
        for entry in there.values():
            # A group is in the ledger whole or not at all.
            assert states_of(real.get(entry.id)) == [State.RECEIVED, State.APPROVED]
    process = start("accept", 200, "last")
    assert len(lines(process)) == 200
    assert len(real.find(limit=1000)) == 200


def test_workers_of_two_processes_never_carry_out_the_same_request(start, real):
    real.accept([an_arrival(f"T-{n}", id=f"req-{n}", model=f"m-{n % 5}@x") for n in range(60)])
    processes = [start("work", f"worker-{n}") for n in range(2)]
    done = [line["done"] for p in processes for line in lines(p) if "done" in line]
    assert all(process.wait() == 0 for process in processes)
    finish = start("work", "worker-last")
    done += [line["done"] for line in lines(finish) if "done" in line]
    assert sorted(done) == sorted(f"req-{n}" for n in range(60))
    assert real.counts()[State.REGISTERED] == 60
    assert real.letters_owed() == {"webhook": 60}


def test_a_killed_worker_s_requests_are_carried_out_once_by_another(start, real):
    real.accept([an_arrival(f"T-{n}", id=f"req-{n}") for n in range(20)])
    killed = start("work", "killed")
    for line in killed.stdout:
        if "done" in json.loads(line):
            killed.send_signal(signal.SIGKILL)
            break
    done_before = 1 + sum("done" in line for line in lines(killed))
    killed.wait()
    later = DAY + real._run.clock()
    while (batch := real.claim("other", lease=MINUTE, limit=100, now=later)) is not None:
        real.conclude(batch, dict.fromkeys(ids_in(batch), DONE))
    histories = [states_of(real.get(f"req-{n}")) for n in range(20)]
    assert all(h.count(State.REGISTERED) == h.count(State.IN_PROGRESS) == 1 for h in histories)
    registered_by = Counter(real.get(f"req-{n}").reason for n in range(20))
    assert registered_by["by killed"] >= done_before
    assert registered_by["by killed"] + registered_by["done"] == 20


def test_a_worker_that_comes_back_from_the_dead_finds_its_lease_lost(start, real):
    real.file(a_request(id="req-1"), judged(), actor="cli")
    process = start("take", "slow")
    said = json.loads(process.stdout.readline())
    assert said["ids"] == ["req-1"]
    assert real.claim("other", lease=MINUTE, limit=1) is None
    later = DAY + real._run.clock()
    taken = real.claim("other", lease=MINUTE, limit=1, now=later)
    assert (taken.id, taken.attempt) == (said["claimed"], 2)
    as_it_was = replace(taken, token=said["token"])
    with pytest.raises(LeaseLostError):
        real.conclude(as_it_was, {"req-1": DONE})
    with pytest.raises(LeaseLostError):
        real.renew(as_it_was, MINUTE)
    real.conclude(taken, {"req-1": DONE})

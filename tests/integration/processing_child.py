"""Runs the flow `deletion-requests` in processes of its own, each killed where the test says.

    python processing_child.py

One line of JSON in, one line out. In, the runs to make, which go on at the same time:

    {"runs": [{"at": [NAME, NUMBER, WHEN], "then": ...}, ...], "folder": ..., "environment": {...}}

Without "at" a run goes on to its end. With it, it meets its fate at the NUMBER-th passing of that
boundary (`processing_boundaries.py`), "before" or "after": killed, or, if "then" holds a run,
stopped until that run has ended. "ahead": the seconds that its ledger's clock is ahead. "later":
send what is owed once more, when the leases of letters have ended. "look": run nothing.

Out, of each run: the exit status and, if it was not killed, boundaries passed and what is there.

The server itself only imports what the runs before had imported, and forks: it opens nothing and
has no second thread. So a run begins without the seconds that importing takes.
"""

import importlib
import json
import os
import signal
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial

from processing_boundaries import Boundaries, watch


def carry_out(run):
    """One run of the flow, and what is there afterwards."""
    import tasks.report
    from flows.deletion_requests import deletion_requests

    tasks.report._pictures = lambda *_: []  # half of the time, and nothing that is kept twice
    boundaries = Boundaries(run.get("at"), signal.SIGSTOP if "then" in run else signal.SIGKILL)
    watch(boundaries)
    put_clock_forward(timedelta(seconds=run.get("ahead", 0)))
    result = deletion_requests()
    if run.get("later"):
        send_what_the_dead_had_taken()
    return {
        "errors": [batch.error for batch in result.batches if batch.error],
        "boundaries": boundaries.passed,
    }


def put_clock_forward(time):
    """Let the ledgers that are opened from now on have a clock that is ahead."""
    import tasks.desk

    clock = {"clock": lambda: datetime.now(UTC) + time}
    tasks.desk.open_ledger = partial(tasks.desk.open_ledger, **clock)


def send_what_the_dead_had_taken():
    """Run `settle-requests` after the leases of letters ended, if there are letters left."""
    from flows.settle_requests import settle_requests
    from lethe.deletion.answers.deliver import LEASE
    from lethe.settings import load_settings
    from tasks.desk import open_desk

    with open_desk(load_settings()) as desk:
        owed = desk.ledger.letters_owed()
    if owed:
        put_clock_forward(2 * LEASE)
        settle_requests()


def what_is_there():
    """Requests, versions and runs."""
    from lethe.settings import load_settings
    from model_registry import tags
    from model_registry.connection import connect
    from tasks.desk import open_desk

    settings = load_settings()
    client = connect(settings)
    found = client.search_model_versions()
    experiment = client.get_experiment_by_name(settings.mlflow.experiment)
    runs = client.search_runs([experiment.experiment_id], f"tags.`{tags.ORIGIN}` = 'unlearned'")
    with open_desk(settings) as desk:
        entries = [desk.ledger.get(entry.id) for entry in desk.ledger.find()]
        owed, dead = desk.ledger.letters_owed(), desk.ledger.letters_dead()
    return {
        "requests": {
            entry.id: {
                "moves": [str(move.after) for move in entry.history if move.before != move.after],
                "workers": [move.actor for move in entry.history if move.after == "in_progress"],
                **asdict(entry.facts),
            }
            for entry in entries
        },
        "owed": owed,
        "dead": len(dead),
        "versions": {f"{v.name}/{v.version}": dict(v.tags) for v in found},
        "aliases": {
            model.name: {alias: int(number) for alias, number in model.aliases.items()}
            for model in client.search_registered_models()
        },
        "runs": {run.info.run_id: [run.info.status, dict(run.data.tags)] for run in runs},
    }


def start(run, folder, environment):
    """Begin a run in a process of its own: its id, and the file that it will answer into."""
    answer = tempfile.TemporaryFile("w+")  # noqa: SIM115 (the child writes, `end` reads)
    pid = os.fork()
    if pid:
        return pid, answer
    status = 1
    try:
        os.dup2(2, 1)  # what the flow prints is no answer
        os.chdir(folder)
        os.environ.update(environment)
        found = {} if run.get("look") else carry_out(run)
        json.dump({**found, **what_is_there(), "modules": list(sys.modules)}, answer)
        answer.flush()
        status = 0
    finally:
        if status:
            sys.excepthook(*sys.exc_info())
        os._exit(status)


def end(pid, answer):
    """Wait for a run; how it ended and what it found."""
    _, status = os.waitpid(pid, 0)
    with answer:
        answer.seek(0)
        return {"exit": os.waitstatus_to_exitcode(status), **json.loads(answer.read() or "{}")}


def make(runs, folder, environment):
    """Make runs at the same time; one that is to be stopped goes on when the other has ended."""
    started = [start(run, folder, environment) for run in runs]
    others = []
    for run, (pid, _) in zip(runs, started, strict=True):
        if "then" in run:
            _, status = os.waitpid(pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status), f"It was to stop at {run['at']}."
            others.append(start(run["then"], folder, environment))
            os.waitid(os.P_PID, others[-1][0], os.WEXITED | os.WNOWAIT)
            os.kill(pid, signal.SIGCONT)
    return [end(*one) for one in [*started, *others]]


def warm_up(names):
    """Import what a run imported, so that the next one need not."""
    for name in names:
        with suppress(ImportError):
            importlib.import_module(name)
    assert threading.active_count() == 1


if __name__ == "__main__":
    for line in sys.stdin:
        answers = make(**json.loads(line))
        for one in answers:
            warm_up(one.pop("modules", ()))
        sys.stdout.write(json.dumps(answers) + "\n")
        sys.stdout.flush()

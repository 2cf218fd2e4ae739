"""Where a run of the flow `deletion-requests` can be killed or stopped: its boundaries.

A boundary is an effect that outlasts the process: a transaction of the ledger that changed
something, a change in the registry, a change on a ticket. "before" a transaction is the last
moment inside it, when all is written and nothing committed.
"""

import os
import threading
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from sqlalchemy import event

# Not the single figures and files of a run: its statement's tag comes after all of them.
REGISTRY = (
    "create_run",
    "create_model_version",
    "set_model_version_tag",
    "set_registered_model_alias",
    "delete_registered_model_alias",
    "set_tag",
    "set_terminated",
)
KEYED = {
    "set_tag": -2,
    "set_model_version_tag": -2,
    "set_registered_model_alias": 1,
    "delete_registered_model_alias": 1,
}


class Boundaries:
    """Notes them in their order; meets its fate at the one it is told."""

    def __init__(self, at, fate):
        self.at, self.fate = tuple(at or ()), fate
        self.passed, self.lock = [], threading.Lock()

    def before(self, name):
        with self.lock:
            number = 1 + sum(known == name for known, _ in self.passed)
            self.passed.append((name, number))
        self._meet(name, number, "before")
        return number

    def after(self, name, number):
        self._meet(name, number, "after")

    def _meet(self, *here):
        if here == self.at:
            os.kill(os.getpid(), self.fate)

    def around(self, name_of, call):
        def wrapped(*args, **kwargs):
            name = name_of(*args)
            if name is None:
                return call(*args, **kwargs)
            number = self.before(name)
            result = call(*args, **kwargs)
            self.after(name, number)
            return result

        return wrapped


def watch(boundaries):
    """Put the boundaries into the ledger, the registry's client and the caller of tickets."""
    import mlflow

    from lethe.deletion.answers.http import Caller

    watch_ledger(boundaries)
    for method in REGISTRY:
        call = getattr(mlflow.MlflowClient, method)
        wrapped = boundaries.around(partial(_in_registry, method), call)
        setattr(mlflow.MlflowClient, method, wrapped)
    Caller.make = boundaries.around(_on_ticket, Caller.make)


def watch_ledger(boundaries):
    """Every transaction that changes something, named by the step and the states it leads to."""
    from lethe.deletion.ledger.transaction import Transactions

    write = Transactions.write

    def watched(self, work, *args, **kwargs):
        at = []

        def inside(tx, *args, **kwargs):
            states = set()

            def announce(entry, move):
                states.add(str(move.after))
                return tx.announce(entry, move)

            with changes(tx.sql) as changed:
                result = work(replace(tx, announce=announce), *args, **kwargs)
            if changed:
                name = " ".join(["ledger", _step(work), *sorted(states)])
                at[:] = [name, boundaries.before(name)]
            return result

        result = write(self, inside, *args, **kwargs)
        if at:
            boundaries.after(*at)
        return result

    Transactions.write = watched


@contextmanager
def changes(connection):
    """The statements that changed rows."""
    found = []

    def executed(_connection, cursor, statement, *_more):
        if not statement.lstrip().upper().startswith("SELECT") and cursor.rowcount:
            found.append(statement)

    event.listen(connection, "after_cursor_execute", executed)
    try:
        yield found
    finally:
        event.remove(connection, "after_cursor_execute", executed)


def _step(work):
    while isinstance(work, partial):
        work = work.func
    return work.__name__.strip("_")


def _in_registry(method, _client, *args):
    return f"registry {method} {args[KEYED[method]]}" if method in KEYED else f"registry {method}"


def _on_ticket(_caller, call):
    return None if call.method == "GET" else f"ticket {call.method}"

"""What holds of the ledger's tables whatever was done to them."""

from collections import Counter, defaultdict

from ledger_model import name_of

from lethe.deletion.states import ANSWERED, MOVES, OPEN, State


def check_histories(rows, lines):
    """Each history is a chain of allowed moves that ends in the state of its request."""
    histories = defaultdict(list)
    for line in lines:
        histories[line.request_id].append(line)
    assert histories.keys() == rows.keys()
    for name, history in histories.items():
        now = None
        for line in history:
            assert line.before == now
            if now is None:
                assert line.after == State.RECEIVED
            elif line.after != now:
                assert line.after in MOVES[State(now)]
            now = line.after
        assert now == rows[name].state


def check_duplicates(rows):
    """What a duplicate repeats is there, asks for the same, and was not given up."""
    for row in rows.values():
        if row.state == State.DUPLICATE:
            assert rows[row.duplicate_of].state in OPEN | {
                State.COMPLETED,
                State.PARTIAL,
                State.REFUSED,
                State.FAILED,
            }
            assert rows[row.duplicate_of].content_digest == row.content_digest


def check_batches(rows, found, now):
    """No model has two leases; what is in progress is in a batch under way, and each has some."""
    under_way = {b.id: b for b in found if b.finished_at is None}
    live = Counter(
        name_of(b.model)
        for b in under_way.values()
        if b.lease_until is not None and b.lease_until > now
    )
    assert all(number == 1 for number in live.values())
    begun = Counter(r.batch_id for r in rows.values() if r.state == State.IN_PROGRESS)
    assert begun.keys() == under_way.keys()


def check_letters(lines, found, sent):
    """Every move that is answered has its letter once; those sent are known to be."""
    owed = [
        key_of(line.request_id, line.after, line.at)
        for line in lines
        if line.after in ANSWERED and line.before != line.after
    ]
    assert Counter(letter.key for letter in found) == Counter(owed)
    assert {letter.key for letter in found if letter.sent_at is not None} == sent


def key_of(request_id, state, at):
    """A letter's key; two moves of a request never have the same time here."""
    return f"{request_id}:{State(state)}:{at.isoformat()}"

"""What approved requests and those in progress wait for stands in their histories."""

from ledger_tools import MINUTE, a_request, judged

from lethe.deletion.states import State

NAMES = ["req-1", "req-2", "req-3"]


def test_what_requests_wait_for_is_noted_once_as_long_as_it_stays_the_same(ledger):
    for name in NAMES:
        ledger.file(a_request(f"p-{name}", id=name), judged(), actor="cli")
    batch = ledger.claim("worker-1", lease=MINUTE, limit=2)
    begun = [entry.id for entry in batch.entries]
    (other,) = set(NAMES) - set(begun)
    ledger.hold(other, actor="dpo", reason="Litigation")
    assert ledger.many.waits(NAMES, "S3 is away", actor="worker-1") == 2
    assert ledger.many.waits(NAMES, "S3 is away", actor="worker-2") == 0
    assert ledger.many.waits(NAMES, "The disk is full", actor="worker-2") == 2
    assert ledger.many.waits(NAMES, "S3 is away", actor="worker-2") == 2
    for name in begun:
        found = ledger.get(name)
        assert found.state is State.IN_PROGRESS
        assert [line.reason for line in found.history[-3:]] == [
            "It waits: S3 is away",
            "It waits: The disk is full",
            "It waits: S3 is away",
        ]
    assert "waits" not in str(ledger.get(other).history)
    ledger.release(other, actor="dpo")
    assert ledger.many.waits(NAMES, "S3 is away", actor="worker-1") == 1
    found = ledger.get(other)
    assert (found.state, found.history[-1].reason) == (State.APPROVED, "It waits: S3 is away")

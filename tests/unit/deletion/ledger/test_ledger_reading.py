"""Questions to the ledger: find, counts, ping."""

import pytest
from ledger_tools import DAY, MINUTE, START, Announced, a_request, judged

from lethe.deletion.ledger.types import Outcome
from lethe.deletion.states import State
from lethe.errors import RequestError


@pytest.fixture
def five(ledger):
    """req-0 to req-4, of two models, three deadlines, two sources and three states."""
    rows = [
        ("digits@champion", 10, "cli", None, State.APPROVED),
        ("digits/3", 20, "portal", "T-1", State.APPROVED),
        ("watch@champion", None, "portal", "T-2", State.AWAITING_APPROVAL),
        ("digits@champion", 10, "portal", "T-1", State.HELD),
        ("watch/1", 30, "cli", None, State.APPROVED),
    ]
    for n, (model, due, source, ticket, state) in enumerate(rows):
        ledger.file(
            a_request(f"p-{n}", id=f"req-{n}", model=model, source=source, ticket=ticket),
            judged(state, due_at=due and START + due * DAY),
            actor="cli",
        )
    return ledger


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, "43210"),
        ({"newest_first": False}, "01234"),
        ({"limit": 2}, "43"),
        ({"after": "req-3"}, "210"),
        ({"after": "req-1", "newest_first": False, "limit": 2}, "23"),
        ({"after": "req-0"}, ""),
        ({"states": [State.APPROVED]}, "410"),
        ({"states": [State.HELD, State.AWAITING_APPROVAL]}, "32"),
        ({"states": []}, ""),
        ({"model": "digits"}, "310"),
        ({"model": "digits/3"}, "1"),
        ({"model": "watch@champion"}, "2"),
        ({"model": "dig"}, ""),
        ({"source": "portal"}, "321"),
        ({"ticket": "T-1"}, "31"),
        ({"source": "cli", "ticket": "T-1"}, ""),
        ({"due_before": START + 20 * DAY}, "30"),
        ({"due_before": START + 31 * DAY, "states": [State.APPROVED], "model": "digits"}, "10"),
        ({"batch_id": "batch-1"}, ""),
        ({"duplicate_of": "req-0"}, ""),
    ],
)
def test_find_gives_what_matches_everything_asked(five, wanted, found):
    assert [entry.id[-1] for entry in five.find(**wanted)] == list(found)


def test_pages_give_everything_once_while_new_requests_arrive(five):
    seen, after = [], None
    while page := five.find(limit=2, after=after):
        seen += [entry.id for entry in page]
        after = page[-1].id
        five.file(a_request(f"new-{after}"), judged(), actor="cli")
    assert seen == [f"req-{n}" for n in (4, 3, 2, 1, 0)]


def test_a_page_after_nothing_known_is_refused(five):
    with pytest.raises(RequestError, match="no deletion request"):
        five.find(after="req-99")


def test_find_gives_whole_entries_but_no_histories(five):
    (entry,) = five.find(model="watch@champion")
    whole = five.get(entry.id)
    assert entry.history == ()
    assert len(whole.history) == 2
    assert entry.request == whole.request
    five.approve(entry.id, actor="dpo")
    assert five.find(model="watch@champion")[0].approvals == ("dpo",)


def test_what_is_in_a_batch_can_be_found(five):
    batch = five.claim("worker", lease=MINUTE, limit=10)
    assert [entry.id for entry in five.find(batch_id=batch.id)] == ["req-0"]


def test_every_state_is_counted(five):
    counts = five.counts()
    assert set(counts) == set(State)
    assert {state: n for state, n in counts.items() if n} == {
        State.APPROVED: 3,
        State.AWAITING_APPROVAL: 1,
        State.HELD: 1,
    }


def test_requests_are_found_by_the_versions_that_forgot_them(five):
    from lethe.deletion.ledger.types import Facts

    batch = five.claim("worker", lease=MINUTE, limit=10)
    done = Outcome(State.REGISTERED, "done", Facts(successor="digits/4"))
    five.conclude(batch, {"req-0": done})
    assert [e.id for e in five.many.forgotten_by(["digits/4", "digits/9"])] == ["req-0"]
    assert five.many.forgotten_by([]) == []


def test_facts_of_many_requests_are_set_at_once(five):
    from lethe.deletion.ledger.types import Facts

    five.many.set_facts({"req-0": Facts(rows=3), "req-1": Facts(share=0.5)})
    assert five.get("req-0").facts == Facts(rows=3)
    assert five.get("req-1").facts == Facts(share=0.5)


def test_another_process_sees_what_was_written(opened, announced):
    writer, reader = opened(), opened(announce=Announced())
    entry = writer.file(a_request(), judged(), actor="cli")
    assert reader.get(entry.id) == entry
    reader.hold(entry.id, actor="dpo", reason="wait")
    assert writer.get(entry.id).state == State.HELD


def test_a_ledger_that_works_answers_a_ping(ledger):
    ledger.ping()
    assert ledger.url_kind in {"sqlite", "postgresql"}

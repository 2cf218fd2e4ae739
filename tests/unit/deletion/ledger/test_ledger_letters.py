"""The outbox: what is owed is sent by somebody, and is known to be sent."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from ledger_tools import DAY, MINUTE, an_arrival

from lethe.deletion.ledger.types import Letter
from lethe.errors import RequestError


def letters(*keys, kind="webhook"):
    return [Letter(kind, key, {"text": f"of {key}"}, "req-1") for key in keys]


def due(ledger, worker="worker-1", **changes):
    return ledger.letters_due(worker, **{"lease": MINUTE, "limit": 100, **changes})


def keys(found):
    return [letter.key for letter in found]


def test_a_letter_comes_back_as_it_was_put_in(ledger):
    ledger.enqueue(letters("a"))
    (letter,) = due(ledger)
    assert (letter.kind, letter.key, letter.request_id) == ("webhook", "a", "req-1")
    assert (letter.payload, letter.attempt) == ({"text": "of a"}, 1)
    assert "of a" not in repr(letter)


def test_a_key_is_kept_once(ledger):
    assert ledger.enqueue(letters("a", "b", "a")) == 2
    assert ledger.enqueue([Letter("webhook", "b", {"text": "other"}), *letters("c")]) == 1
    assert ledger.enqueue([]) == 0
    assert keys(due(ledger)) == ["a", "b", "c"]
    for letter in due(ledger, "nobody"):
        pytest.fail(f"{letter.key} was leased twice")


def test_a_key_stays_taken_after_its_letter_was_sent(ledger):
    ledger.enqueue(letters("a"))
    ledger.sent(due(ledger)[0])
    assert ledger.enqueue(letters("a")) == 0
    assert due(ledger) == []
    assert ledger.letters_owed() == {}


def test_letters_of_one_group_with_one_key_keep_the_first(ledger):
    ledger.enqueue([Letter("webhook", "a", {"n": 1}), Letter("webhook", "a", {"n": 2})])
    assert [letter.payload for letter in due(ledger)] == [{"n": 1}]


def test_a_leased_letter_is_nobody_else_s_until_the_lease_runs_out(ledger, clock):
    ledger.enqueue(letters("a"))
    first = due(ledger)
    assert due(ledger, "worker-2") == []
    clock.forward(MINUTE)
    (again,) = due(ledger, "worker-2")
    assert (again.attempt, again.token == first[0].token) == (2, False)


def test_the_attempt_is_on_disk_before_the_letter_is_handed_out(opened):
    opened().enqueue(letters("a"))
    due(opened())
    # The sender is killed here; another process finds out that it had begun.
    assert due(opened(clock=lambda: opened()._run.clock() + DAY))[0].attempt == 2


def test_only_some_kinds_and_so_many(ledger):
    ledger.enqueue([*letters("a", "b"), *letters("c", "d", kind="github")])
    assert keys(due(ledger, kinds=["github"], limit=1)) == ["c"]
    assert keys(due(ledger, kinds=[])) == []
    assert keys(due(ledger, kinds=["github", "jira"])) == ["d"]
    assert keys(due(ledger)) == ["a", "b"]
    assert ledger.letters_owed() == {"github": 2, "webhook": 2}


def test_what_failed_is_due_again_later(ledger, clock):
    ledger.enqueue(letters("a"))
    ledger.not_sent(due(ledger)[0], "503", clock.now + 5 * MINUTE)
    assert due(ledger) == []
    assert ledger.letters_owed() == {"webhook": 1}
    clock.forward(5 * MINUTE)
    assert due(ledger)[0].attempt == 2


def test_those_that_wait_longest_go_first(ledger, clock):
    ledger.enqueue(letters("a"))
    clock.forward(MINUTE)
    ledger.enqueue(letters("b"))
    (first,) = due(ledger, limit=1)
    ledger.not_sent(first, "503", clock.now + MINUTE)
    clock.forward(MINUTE)
    assert keys(due(ledger)) == ["b", "a"]


def test_what_is_given_up_is_listed_and_can_be_revived(ledger, clock):
    ledger.enqueue(letters("a"))
    ledger.not_sent(due(ledger)[0], "404\nfor anna@example.org", None)
    assert ledger.letters_dead() == [
        ("webhook", "a", "req-1", "404 for (address left out)", clock.now)
    ]
    assert ledger.letters_owed() == {}
    clock.forward(DAY)
    assert due(ledger) == []
    ledger.revive("a")
    assert ledger.letters_dead() == []
    (letter,) = due(ledger)
    assert (letter.attempt, letter.payload) == (2, {"text": "of a"})
    with pytest.raises(RequestError, match="given up"):
        ledger.revive("a")


def test_a_sender_whose_lease_was_taken_over_does_not_put_the_letter_back(ledger, clock):
    ledger.enqueue(letters("a"))
    (old,) = due(ledger)
    clock.forward(MINUTE)
    (new,) = due(ledger, "worker-2")
    ledger.not_sent(old, "timeout", None)
    assert ledger.letters_dead() == []
    ledger.sent(new)
    ledger.not_sent(old, "timeout", clock.now)
    assert due(ledger) == []


def test_what_was_sent_is_sent_whoever_has_the_lease_by_now(ledger, clock):
    ledger.enqueue(letters("a"))
    (old,) = due(ledger)
    clock.forward(MINUTE)
    (new,) = due(ledger, "worker-2")
    ledger.sent(old)
    ledger.not_sent(new, "timeout", clock.now)
    assert ledger.letters_owed() == {}
    assert due(ledger) == []


def test_threads_that_send_at_once_share_the_letters(opened):
    ledgers = [opened(), opened()]
    ledgers[0].enqueue(letters(*(f"key-{n}" for n in range(60))))

    def send(n):
        mine = []
        while found := due(ledgers[n % 2], f"worker-{n}", limit=7):
            for letter in found:
                ledgers[n % 2].sent(letter)
            mine += keys(found)
        return mine

    with ThreadPoolExecutor(4) as pool:
        sent = [key for some in pool.map(send, range(4)) for key in some]
    assert sorted(sent) == sorted(f"key-{n}" for n in range(60))


def test_letters_of_a_move_are_there_with_the_move_or_not_at_all(opened, announced):
    ledger = opened(announce=announced)
    (receipt,) = ledger.accept([an_arrival("T-1")])
    assert ledger.letters_owed() == {"webhook": len(announced.told)}

    def fails_late(entry, move):
        if move.before is not None:
            raise ZeroDivisionError
        return [Letter("webhook", "early", {})]

    other = opened(announce=fails_late)
    with pytest.raises(ZeroDivisionError):
        other.cancel(receipt.request_id, actor="dpo")
    assert ledger.letters_owed() == {"webhook": len(announced.told)}

"""The claim of benchmarks/intake.py, at a smaller size."""

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_was_answered_with_202_is_in_the_ledger_once_whatever_is_killed(kill_benchmark, kind):
    posts = kill_benchmark.make_posts(600, duplicates=0.30, broken=0.05, seed=7)
    result = kill_benchmark.measure(kind, posts, senders=8, kills=3)
    assert result["wrong"] == []
    assert result["sent_again"] > 0, "no sender noticed that the service was killed"
    broken = sum(post.ticket is None for post in posts)
    refused = sum(n for status, n in result["statuses"].items() if status != "202")
    assert refused == broken == 30


def test_a_lost_and_an_unanswered_ticket_would_be_noticed(kill_benchmark, tmp_path):
    """Or the check of the ledger has stopped to check."""
    posts = kill_benchmark.make_posts(6, duplicates=0, broken=0, seed=1)
    told = [kill_benchmark.Answered(n, 202, "req-000000000000", 0.01, 1, 0.0) for n in range(5)]
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    wrong = kill_benchmark.verify(url, tmp_path / "record.key", posts, told)
    assert sum(line.startswith("lost") for line in wrong) == 5
    assert sum(line.startswith("never accepted") for line in wrong) == 1
    assert sum(line.startswith("no answer") for line in wrong) == 1

"""The flow `deletion-requests` is killed at every boundary; the next run brings it to its end.

The boundaries are found by running the flow once to its end: every transaction of the ledger, every
change in the registry and every change on a ticket (`processing_boundaries.py`). What comes
after the batch was concluded is killed in a run that finds it concluded, by one that was killed
right there: so no edit is made again for it. For the same reason the first answers were given.

Every twelfth of the kills is tried; all of them with --exhaustive.
"""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from processing_tools import (
    DONE,
    ENVIRONMENT,
    POLICY,
    Processes,
    file_issue,
    served_issues,
    served_processes,
)

from flows.settle_requests import settle_requests

KILLED = -9
CLAIMED = ("ledger claim in_progress", 1, "after")
CONCLUDED = ("ledger conclude registered", 1, "after")
# What must be among the boundaries that are found, else the test would not test what it says.
EXPECTED = {
    "ledger claim in_progress",
    "ledger conclude registered",
    "ledger move promoted",
    "ledger move completed",
    "ledger take",
    "ledger sent",
    "registry create_run",
    "registry create_model_version",
    "registry set_model_version_tag lethe.verdict",
    "registry set_model_version_tag lethe.statement_sha256",
    "registry set_tag lethe.statement_sha256",
    "registry set_registered_model_alias champion",
    "ticket POST",
    "ticket PATCH",
}


class Office:
    """Three issues, two requests and a repetition, and processes that carry them out."""

    def __init__(self, project, issues, processes):
        self.state, self.issues, self.processes = project / ".lethe", issues, processes
        self.work = [file_issue(1, "3"), file_issue(2, "5")]
        self.repetition = file_issue(3, "3")

    def run(self, *at):
        (found,) = self.processes.make({"at": at} if at else {"later": True})
        return found

    def check(self, found):
        """One successor, one end of each request, one final answer on each issue."""
        assert (found["exit"], found["errors"]) == (0, [])
        assert set(found["versions"]) == {"digits/1", "digits/2"}
        successor = found["versions"]["digits/2"]
        assert successor["lethe.parent"] == "digits/1"
        assert successor["lethe.verdict"] == "suppressed"
        assert "lethe.promoted_at" in successor
        assert found["aliases"] == {"digits": {"champion": 2}}
        ((status, tags),) = found["runs"].values()
        assert status == "FINISHED"
        assert tags["lethe.verdict"] == "suppressed"
        assert tags["lethe.statement_sha256"] == successor["lethe.statement_sha256"]
        requests = found["requests"]
        assert [requests[one]["moves"] for one in self.work] == [DONE, DONE]
        assert requests[self.repetition]["moves"] == ["received", "duplicate"]
        for one in requests.values():
            assert one["successor"] == "digits/2"
            assert one["statement"] == successor["lethe.statement_sha256"]
        assert (found["owed"], found["dead"]) == ({}, 0)
        assert {n: len(texts) for n, texts in self.issues.final().items()} == {1: 1, 2: 1, 3: 1}
        assert {n: len(texts) for n, texts in self.issues.comments.items()} == {1: 2, 2: 2, 3: 2}
        assert self.issues.closed == {1: 1, 2: 1, 3: 1}


class Stage:
    """The state folder and the issues as they were at some moment, and runs of the flow from there.

    The issues had no final answer yet.
    """

    def __init__(self, office, folder):
        self.office, self.folder = office, folder
        shutil.copytree(office.state, folder, symlinks=True)
        self.comments = {n: list(texts) for n, texts in office.issues.comments.items()}

    def run(self, *at):
        shutil.rmtree(self.office.state)
        shutil.copytree(self.folder, self.office.state, symlinks=True)
        self.office.issues.clear()
        self.office.issues.comments.update({n: list(t) for n, t in self.comments.items()})
        return self.office.run(*at)

    def boundaries(self):
        """What a run passes from here to the end."""
        found = self.run()
        self.office.check(found)
        return [tuple(one) for one in found["boundaries"]]


@pytest.fixture
def office(project, prefect_server, monkeypatch):
    for name, value in {**ENVIRONMENT, "PREFECT_API_URL": prefect_server}.items():
        monkeypatch.setenv(name, value)
    with served_issues() as (issues, url), served_processes() as server:
        (project / "policy.toml").write_text(POLICY.format(url=url))
        yield Office(project, issues, Processes(server, project))


def kills(boundaries):
    """Inside every transaction, before every other change, and after those that move or answer.

    After any other one is before the next.
    """
    for name, number in boundaries:
        yield name, number, "before"
        where, _, *more = name.split()
        if where == "ticket" or (where == "ledger" and more) or name == "ledger sent":
            yield name, number, "after"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_at_every_boundary_each_request_is_carried_out_and_answered_once(
    office, tmp_path, exhaustive
):
    settle_requests()  # the first answers
    filed = Stage(office, tmp_path / "filed")
    boundaries = filed.boundaries()
    assert {name for name, _ in boundaries} >= EXPECTED
    end_of_batch = 1 + boundaries.index(CONCLUDED[:2])

    assert filed.run(*CLAIMED)["exit"] == KILLED
    claimed = Stage(office, tmp_path / "claimed")
    taken_over = [one for one in claimed.boundaries() if one not in boundaries]
    assert {name for name, _ in taken_over} >= {"ledger free", "ledger claim"}

    assert filed.run(*CONCLUDED)["exit"] == KILLED
    concluded = Stage(office, tmp_path / "concluded")
    rest = concluded.boundaries()
    assert {name for name, _ in rest} >= {name for name, _ in boundaries[end_of_batch:]}

    for stage, several in [
        (filed, boundaries[:end_of_batch]),
        (claimed, taken_over),
        (concluded, rest),
    ]:
        for at in list(kills(several))[:: 1 if exhaustive else 12]:
            assert stage.run(*at)["exit"] == KILLED, at
            office.check(office.run())

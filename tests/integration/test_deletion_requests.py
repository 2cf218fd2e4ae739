"""The flow `deletion-requests` on real MLflow, DVC and Prefect: batches, ladders, splits, ends."""

import json

import pytest

from flows.deletion_requests import deletion_requests
from flows.unlearn import unlearn
from lethe.audit.statement import Statement
from lethe.data.forget_set import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import State
from lethe.errors import RequestError
from lethe.settings import load_settings
from model_registry import tags
from model_registry.aliases import promote
from model_registry.connection import connect
from model_registry.run import artifact_path
from model_registry.version import VersionRef
from tasks.desk import open_desk
from tasks.one_request import file_request

POLICY = """
version = "test"
[approval]
approvers = ["dpo"]
needed = 1
[models.digits]
{rules}
{more}
"""

CLI = """
[sources.cli]
kind = "cli"
models = ["*"]
datasets = ["*"]
"""


@pytest.fixture
def policy(project):
    def write(rules="", more=""):
        (project / "policy.toml").write_text(POLICY.format(rules=rules, more=more))

    write()
    return write


def ask(model="digits@champion", ticket=None, **selection):
    spec = ForgetSpec(dataset="data/digits", selection=Selection(**selection))
    return file_request(
        load_settings(), DeletionRequest(model=model, forget=spec, ticket=ticket)
    ).id


def entry(request_id):
    with open_desk(load_settings()) as desk:
        return desk.ledger.get(request_id)


def states(*ids):
    return [entry(one).state for one in ids]


def versions():
    client = connect(load_settings())
    return sorted(int(v.version) for v in client.search_model_versions("name = 'digits'"))


def champion():
    client = connect(load_settings())
    return int(client.get_model_version_by_alias("digits", "champion").version)


def statement_of(run_id):
    path = artifact_path(connect(load_settings()), run_id, tags.STATEMENT_FILE)
    return Statement.model_validate_json(path.read_bytes()).predicate


def test_requests_for_one_model_become_one_edit_with_an_outcome_each(policy):
    first, second, third = ask(classes=("3",)), ask(classes=("5",)), ask(classes=("5", "7"))
    result = deletion_requests()

    assert versions() == [1, 2]
    assert champion() == 2
    assert [batch.successor for batch in result.batches] == ["digits/2"]
    assert states(first, second, third) == [State.COMPLETED] * 3
    assert [entry(one).facts.forget_accuracy for one in (first, second, third)] == [0, 0, 0]
    said = statement_of(result.batches[0].run_id)
    assert {request.id for request in said.requests} == {first, second, third}
    assert said.data.classes == ("3", "5", "7")
    assert [m.after for m in entry(first).history] == [
        "received",
        "approved",
        "in_progress",
        "registered",
        "promoted",
        "completed",
    ]
    assert deletion_requests().batches == ()
    assert versions() == [1, 2]


def test_only_what_is_approved_is_carried_out(policy):
    held, cancelled = ask(classes=("1",)), ask(classes=("2",))
    policy("approve_above = { class = 0.5 }", more=CLI)
    waiting = ask(classes=("6",))
    with open_desk(load_settings()) as desk:
        desk.ledger.hold(held, actor="dpo", reason="Litigation 2026-4")
        desk.ledger.cancel(cancelled, actor="dpo")
    deletion_requests()
    assert versions() == [1]
    assert states(held, cancelled, waiting) == [
        State.HELD,
        State.CANCELLED,
        State.AWAITING_APPROVAL,
    ]
    with pytest.raises(RequestError, match="lethe requests approve"):
        unlearn(waiting)
    with open_desk(load_settings()) as desk:
        desk.ledger.approve(waiting, actor="dpo")
    deletion_requests()
    assert states(held, waiting) == [State.HELD, State.COMPLETED]
    said = statement_of(entry(waiting).facts.run_id)
    assert said.requests[0].approved_by == ("dpo",)
    assert said.requests[0].policy.startswith("test@sha256:")
    assert said.data.classes == ("6",)


def test_what_one_rung_of_the_ladder_cannot_do_the_next_one_does(policy, monkeypatch):
    monkeypatch.setenv("LETHE_GATES__MAX_RETAINED_LOSS", "0.03")
    unable = '{method = "pte", options = {pull = "none", epochs = 3, learning_rate = 0.01}}'
    policy(f'ladder = [{unable}, {{method = "pte"}}]')
    request = ask(classes=("8",))
    deletion_requests()
    assert states(request) == [State.COMPLETED]
    assert versions() == [1, 2]
    client = connect(load_settings())
    experiment = client.get_experiment_by_name("lethe").experiment_id
    runs = client.search_runs([experiment], f"tags.`{tags.REQUEST}` = '{request}'")
    assert sorted(run.data.tags[tags.VERDICT] for run in runs) == ["refused", "suppressed"]


def test_a_refusal_on_every_rung_is_recorded_once_and_stands_until_the_thresholds_change(
    policy, monkeypatch
):
    monkeypatch.setenv("LETHE_GATES__MIN_AGREEMENT", "1.0")
    monkeypatch.setenv("LETHE_GATES__MAX_RETAINED_LOSS", "0.0")
    policy(
        'ladder = [{method = "pte", options = {pull = "none", epochs = 3, learning_rate = 0.01}}]'
    )
    request = ask(classes=("8",))
    deletion_requests()
    refused = entry(request)
    assert (refused.state, refused.facts.verdict, versions()) == (State.REFUSED, "refused", [1])
    with open_desk(load_settings()) as desk:
        desk.ledger.retry(request, actor="dpo")
    deletion_requests()
    assert entry(request).facts.run_id == refused.facts.run_id  # not computed again
    monkeypatch.delenv("LETHE_GATES__MIN_AGREEMENT")
    monkeypatch.setenv("LETHE_GATES__MAX_RETAINED_LOSS", "1.0")
    monkeypatch.setenv("LETHE_GATES__MAX_CLASS_LOSS", "1.0")
    monkeypatch.setenv("LETHE_GATES__MIN_AGREEMENT", "0.0")
    with open_desk(load_settings()) as desk:
        desk.ledger.retry(request, actor="dpo")
    deletion_requests()
    assert (states(request), versions()) == ([State.COMPLETED], [1, 2])


def test_one_request_that_cannot_be_done_does_not_hold_up_the_others(policy):
    rows, klass = ask(samples=("digits-0004", "digits-0000")), ask(classes=("3",))
    deletion_requests()
    assert states(rows, klass) == [State.FAILED, State.COMPLETED]
    assert "forgets by class" in entry(rows).reason
    assert versions() == [1, 2]


def test_rows_are_forgotten_by_retraining_where_the_policy_says_so(policy):
    """What was forgotten before must not come back with the retained rows."""
    first = ask(classes=("3",))
    deletion_requests()
    policy('ladder = [{method = "pte"}, {retrain = true}]')
    rows = ask(samples=("digits-0004", "digits-0000"))
    deletion_requests()
    assert states(first, rows) == [State.COMPLETED, State.COMPLETED]
    said = statement_of(entry(rows).facts.run_id)
    assert (said.verdict, said.data.kind, said.data.count) == ("retrained", "samples", 2)
    (relapse,) = [gate for gate in said.gates if gate.name == "relapse"]
    assert (relapse.passed, relapse.measured) == (True, 0)
    assert "digits-000" not in json.dumps(said.model_dump(mode="json"))


def test_too_much_for_one_edit_is_done_in_several_and_none_forgets_less(policy, monkeypatch):
    monkeypatch.setenv("LETHE_DATA__MAX_SHARE", "0.25")
    policy("promote = false\ncomplete_when = 'registered'")
    asked = [ask(classes=(name,)) for name in "1357"]
    result = deletion_requests()
    assert states(*asked) == [State.COMPLETED] * 4
    assert [batch.successor for batch in result.batches] == [None, "digits/2", "digits/3"]
    client = connect(load_settings())
    assert client.get_model_version("digits", "3").tags[tags.PARENT] == "digits/2"
    assert promote(client, VersionRef("digits", 3), "champion")
    assert champion() == 3


def test_what_the_line_forgot_is_not_done_again_and_stays_forgotten(policy):
    both = ask(classes=("3", "5"))
    deletion_requests()
    part, other = ask(classes=("5",)), ask(classes=("9",))
    deletion_requests()
    assert states(both, part, other) == [State.COMPLETED] * 3
    assert entry(part).facts.successor == "digits/2"
    assert versions() == [1, 2, 3]
    said = statement_of(entry(other).facts.run_id)
    assert [request.id for request in said.requests] == [other]
    (relapse,) = [gate for gate in said.gates if gate.name == "relapse"]
    assert relapse.passed is True
    assert "2 earlier forget sets" in relapse.words


def test_a_request_waits_as_registered_until_somebody_promotes_its_successor(policy):
    policy("promote = false")
    request = ask(classes=("3",))
    deletion_requests()
    assert (states(request), champion()) == ([State.REGISTERED], 1)
    deletion_requests()
    assert states(request) == [State.REGISTERED]
    later = ask(classes=("4",))
    deletion_requests()  # on top of the candidate, not beside it
    client = connect(load_settings())
    assert client.get_model_version("digits", "3").tags[tags.PARENT] == "digits/2"
    promote(client, VersionRef("digits", 3), "champion")
    deletion_requests()
    assert states(request, later) == [State.COMPLETED, State.COMPLETED]
    assert versions() == [1, 2, 3]


def test_ids_that_are_not_in_the_data_are_told_without_naming_them(policy):
    policy("ladder = [{retrain = true}]")
    nothing = ask(samples=("patient-17",))
    some = ask(samples=("digits-0004", "patient-17"))
    label = ask(classes=("Anna Example",))
    deletion_requests()
    assert states(nothing, some, label) == [State.REJECTED, State.PARTIAL, State.REJECTED]
    assert entry(some).facts.missing == 1
    for one in (nothing, some, label):
        assert not {"patient-17", "Anna"} & set(str(entry(one).history).split("'"))
        assert "patient" not in str(entry(one).history)
        assert "Anna" not in str(entry(one).history)


def test_a_registry_that_does_not_answer_costs_no_request(policy, monkeypatch):
    request = ask(classes=("3",))
    import flows.carry_out
    from lethe.errors import RegistryError

    def down(*_, **__):
        raise RegistryError("MLflow did not answer.")

    with monkeypatch.context() as broken:
        broken.setattr(flows.carry_out, "pull_parent", down)
        for _ in range(7):
            result = deletion_requests()
            assert "did not answer" in result.batches[0].error
    assert states(request) == [State.IN_PROGRESS]
    deletion_requests()
    assert (states(request), versions()) == ([State.COMPLETED], [1, 2])


def test_moving_the_alias_by_hand_is_seen_in_the_requests(policy):
    from typer.testing import CliRunner

    from cli.main import app

    policy("promote = false")
    request = ask(classes=("3",))
    deletion_requests()
    assert states(request) == [State.REGISTERED]
    assert CliRunner().invoke(app, ["model", "promote", "digits/2"]).exit_code == 0
    assert (states(request), champion()) == ([State.COMPLETED], 2)
    assert CliRunner().invoke(app, ["model", "rollback", "digits"]).exit_code == 0
    assert champion() == 1
    last = entry(request).history[-1]
    assert (last.after, last.actor.partition(":")[0]) == (State.COMPLETED, "cli")
    assert "digits/2 was rolled back" in last.reason


def test_a_successor_that_came_to_stand_beside_what_is_served_is_made_again_on_top_of_it(policy):
    """Somebody else edited and promoted the version that was served: it still remembers."""
    policy("promote = false")
    first = ask(classes=("3",))
    deletion_requests()
    unlearn(ask(classes=("5",)), promote=True)
    assert champion() == 3  # made from version 1, as version 2 was
    policy()
    deletion_requests()
    assert (states(first), champion()) == ([State.COMPLETED], 4)
    client = connect(load_settings())
    assert client.get_model_version("digits", "4").tags[tags.PARENT] == "digits/3"
    assert "beside" in " ".join(str(move.reason) for move in entry(first).history)


def test_a_killed_run_leaves_its_successor_to_be_built_upon(policy, monkeypatch):
    """Between the ledger's note and the alias: the next edit must not begin at the parent."""
    import flows.deletion_requests

    first = ask(classes=("3",))
    with monkeypatch.context() as broken:
        calls = iter([{}])
        broken.setattr(flows.deletion_requests, "settle", lambda *_, **__: next(calls))
        with pytest.raises(BaseException, match=r".*"):
            deletion_requests()
    assert (states(first), champion()) == ([State.REGISTERED], 1)
    second = ask(classes=("5",))
    monkeypatch.setattr(flows.deletion_requests, "settle", lambda *_, **__: {})
    deletion_requests()
    client = connect(load_settings())
    assert client.get_model_version("digits", "3").tags[tags.PARENT] == "digits/2"
    assert states(first, second) == [State.REGISTERED] * 2


def test_rows_are_not_retrained_where_that_would_bring_back_what_was_forgotten(policy):
    policy("ladder = [{retrain = true}]")
    spec = ForgetSpec(dataset="data/digits", selection=Selection(classes=("3",)), whole=True)
    elsewhere = file_request(
        load_settings(),
        DeletionRequest(model="digits/1", forget=spec, evaluation="data/digits"),
    ).id
    unlearn(elsewhere, method="pte", promote=True)
    rows = ask(samples=("digits-0004",))
    deletion_requests()
    assert states(rows) == [State.FAILED]
    assert "cannot be retrained" in entry(rows).reason


def test_a_request_that_a_person_holds_while_it_is_weighed_stays_held_and_harms_no_other(
    policy, monkeypatch
):
    import tasks.weigh

    held, waiting = ask(classes=("1",)), ask(classes=("2",))
    policy("approve_above = { class = 0.5 }", more=CLI)
    count = tasks.weigh.weigh_selections

    def while_counting(*args):
        with open_desk(load_settings()) as desk:
            desk.ledger.hold(held, actor="dpo", reason="Litigation 2026-4")
        return count(*args)

    monkeypatch.setattr(tasks.weigh, "weigh_selections", while_counting)
    deletion_requests()
    assert states(held, waiting) == [State.HELD, State.AWAITING_APPROVAL]
    assert versions() == [1]

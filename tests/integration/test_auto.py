"""`method = "auto"` in the real flow: a refused gate leads to the next step; all is recorded."""

import json

import pytest

import flows.carry_out
from flows.deletion_requests import deletion_requests
from flows.unlearn import unlearn
from lethe.audit.statement import Statement
from lethe.data.forget_set import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import State
from lethe.errors import ForgetSetError, MethodError, RefusedError
from lethe.settings import load_settings
from lethe.unlearning.class_direction import ClassDirection
from lethe.unlearning.delete import Delete
from lethe.unlearning.pte import PTE
from model_registry import tags
from model_registry.connection import connect
from model_registry.run import artifact_path
from tasks.desk import open_desk
from tasks.one_request import file_request

# Without a pull PTE does too much damage to pass.
UNABLE = (
    'ladder = [{method = "pte", options = {pull = "none", epochs = 3, learning_rate = 0.01}}, '
    '{method = "auto"}]'
)


def ask(**selection):
    spec = ForgetSpec(dataset="data/digits", selection=Selection(**selection))
    return file_request(load_settings(), DeletionRequest(model="digits@champion", forget=spec)).id


def entry(request_id):
    with open_desk(load_settings()) as desk:
        return desk.ledger.get(request_id)


def statement_of(run_id):
    path = artifact_path(connect(load_settings()), run_id, tags.STATEMENT_FILE)
    return Statement.model_validate_json(path.read_bytes()).predicate


def refused_runs():
    client = connect(load_settings())
    experiment = client.get_experiment_by_name("lethe").experiment_id
    return client.search_runs([experiment], f"tags.`{tags.VERDICT}` = 'refused'")


def steps(said):
    return [(rung.method, rung.outcome) for rung in said.choice.rungs]


def ruin(monkeypatch, *methods):
    """Make what these methods give fail the gates, whatever it is."""
    for method in methods:
        monkeypatch.setattr(method, "edit", _ruined(method.edit))


def _ruined(edit):
    def ruined(self, model, forget, instructions, context):
        found = edit(self, model, forget, instructions, context)
        next(iter(found.model.parameters())).data.zero_()
        return found

    return ruined


@pytest.fixture
def pte_is_refused(monkeypatch):
    ruin(monkeypatch, PTE)


def test_a_class_goes_to_pte_and_the_record_says_why(project):
    result = unlearn(ask(classes=("3",)), method="auto")
    said = statement_of(result.run_id)
    assert said.method.name == "pte"
    after = [(name, "not_tried") for name in ("class_direction", "delete", "retrain")]
    assert steps(said) == [("pte", "accepted"), *after]
    assert [one.method for one in said.choice.left_out] == ["imu"]
    assert said.choice.at == 0
    assert said.choice.facts["kind"] == "class"
    assert said.choice.facts["classes_left"] == 9
    assert (said.choice.facts["recipe"], said.choice.facts["retained"]) == (True, True)
    assert said.choice.search is None
    run = connect(load_settings()).get_run(result.run_id)
    assert run.data.tags[tags.RUNG] == "1 of 4"
    assert run.data.tags[tags.BECAUSE] == said.choice.rungs[0].because
    report = artifact_path(connect(load_settings()), result.run_id, tags.REPORT_FILE).read_text()
    assert "How it came to this method" in report


@pytest.mark.usefixtures("pte_is_refused")
def test_a_refused_gate_leads_to_the_next_step_and_both_are_recorded(project, monkeypatch):
    monkeypatch.setenv("LETHE_GATES__MAX_RETAINED_LOSS", "0.05")
    monkeypatch.setenv("LETHE_GATES__MAX_CLASS_LOSS", "0.2")
    monkeypatch.setenv("LETHE_GATES__MIN_AGREEMENT", "0.9")
    result = unlearn(ask(classes=("3",)), method="auto")
    said = statement_of(result.run_id)
    assert said.method.name == "class_direction"
    after = [(name, "not_tried") for name in ("delete", "retrain")]
    assert steps(said) == [("pte", "refused"), ("class_direction", "accepted"), *after]
    (refused,) = refused_runs()
    first = statement_of(refused.info.run_id)
    assert said.choice.rungs[0].run_id == refused.info.run_id
    assert said.choice.rungs[0].said == first.reason
    assert steps(first) == [("pte", "refused"), ("class_direction", "not_tried"), *after]
    assert [gate.name for gate in first.gates if gate.passed is False]
    assert (first.choice.at, said.choice.at) == (0, 1)


def test_auto_in_a_policys_ladder_stands_for_its_steps_in_place(project, monkeypatch):
    monkeypatch.setenv("LETHE_GATES__MAX_RETAINED_LOSS", "0.03")
    (project / "policy.toml").write_text(f'version = "test"\n[models.digits]\n{UNABLE}\n')
    request = ask(classes=("8",))
    deletion_requests()
    assert entry(request).state is State.COMPLETED
    said = statement_of(entry(request).facts.run_id)
    assert steps(said)[:2] == [("pte", "refused"), ("pte", "accepted")]
    assert said.choice.rungs[0].settings == {"pull": "none", "epochs": 3, "learning_rate": 0.01}
    assert said.choice.rungs[0].because == "it is a step of the policy's ladder"
    assert [rung.method for rung in said.choice.rungs[2:]] == [
        "class_direction",
        "delete",
        "retrain",
    ]


def test_single_rows_are_forgotten_by_retraining_where_that_can_be_done(project):
    rows = ("digits-0004", "digits-0005")
    result = unlearn(ask(samples=rows), method="auto")
    said = statement_of(result.run_id)
    assert (said.method.name, said.verdict) == ("retrain", "retrained")
    assert steps(said) == [("retrain", "accepted"), ("calibrated", "not_tried")]
    assert [one.method for one in said.choice.left_out] == ["l2ul"]


def test_a_search_before_the_edit_stays_within_its_budget_and_is_recorded(project, monkeypatch):
    monkeypatch.setenv("LETHE_UNLEARNING__SEARCH_BUDGET", "3")
    monkeypatch.setenv("LETHE_UNLEARNING__METHOD", "auto")
    result = unlearn(ask(classes=("3",)))
    said = statement_of(result.run_id)
    search = said.choice.search
    assert len(search.trials) == 3 == search.budget
    assert search.trials[0].settings == {}
    assert search.trials[search.best].score == min(trial.score for trial in search.trials)
    for name, value in search.trials[search.best].settings.items():
        assert said.method.settings[name] == value
    kept = artifact_path(connect(load_settings()), result.run_id, tags.SEARCH_FILE)
    assert len(json.loads(kept.read_text())["trials"]) == 3
    params = connect(load_settings()).get_run(result.run_id).data.params
    assert float(params["learning_rate"]) == said.method.settings["learning_rate"]


class Killed(BaseException):
    """Nothing catches it, as nothing catches a kill."""


@pytest.mark.usefixtures("pte_is_refused")
def test_a_run_that_was_killed_on_the_second_step_goes_on_with_the_same_ladder(
    project, monkeypatch
):
    monkeypatch.setenv("LETHE_GATES__MAX_RETAINED_LOSS", "0.05")
    monkeypatch.setenv("LETHE_GATES__MAX_CLASS_LOSS", "0.2")
    monkeypatch.setenv("LETHE_GATES__MIN_AGREEMENT", "0.9")
    request = ask(classes=("3",))
    whole = flows.carry_out._forget_and_measure

    def killed(record, **more):
        if record.at == 1:
            raise Killed
        return whole(record, **more)

    monkeypatch.setattr(flows.carry_out, "_forget_and_measure", killed)
    with pytest.raises(Killed):
        unlearn(request, method="auto")
    monkeypatch.setattr(flows.carry_out, "_forget_and_measure", whole)
    # What the choice would be now is no matter.
    monkeypatch.setattr("tasks.ladder.choose", lambda _: pytest.fail("chosen anew"))
    result = unlearn(request, method="auto")
    said = statement_of(result.run_id)
    after = [(name, "not_tried") for name in ("delete", "retrain")]
    assert steps(said) == [("pte", "refused"), ("class_direction", "accepted"), *after]
    assert len(refused_runs()) == 1


def test_other_steps_named_after_a_kill_are_taken(project, monkeypatch):
    request = ask(classes=("3",))
    whole = flows.carry_out._forget_and_measure

    def killed(*_, **__):
        raise Killed

    monkeypatch.setattr(flows.carry_out, "_forget_and_measure", killed)
    with pytest.raises(Killed):
        unlearn(request, method="auto")
    monkeypatch.setattr(flows.carry_out, "_forget_and_measure", whole)
    result = unlearn(request, method="delete")
    assert steps(statement_of(result.run_id)) == [("delete", "accepted")]


def test_tight_gates_that_pte_does_not_pass_lead_to_what_does(project, monkeypatch):
    monkeypatch.setenv("LETHE_GATES__MIN_AGREEMENT", "1.0")
    monkeypatch.setenv("LETHE_GATES__MAX_RETAINED_LOSS", "0.0")
    monkeypatch.setenv("LETHE_GATES__MAX_CLASS_LOSS", "0.0")
    said = statement_of(unlearn(ask(classes=("8",)), method="auto").run_id)
    assert steps(said)[:2] == [("pte", "refused"), ("class_direction", "accepted")]
    assert "give the same answer" in said.choice.rungs[0].said


def test_when_every_step_is_refused_the_error_and_the_last_record_tell_all(project, monkeypatch):
    ruin(monkeypatch, PTE, ClassDirection, Delete)
    monkeypatch.setenv("LETHE_GATES__MIN_AGREEMENT", "1.0")
    monkeypatch.setenv("LETHE_GATES__MAX_RETAINED_LOSS", "0.0")
    monkeypatch.setenv("LETHE_GATES__MAX_CLASS_LOSS", "0.0")
    names = ("pte", "class_direction", "delete", "retrain")
    with pytest.raises(RefusedError, match="; ".join(f"{name} refused" for name in names)):
        unlearn(ask(classes=("8",)), method="auto")
    assert len(refused_runs()) == len(names)
    last = max(refused_runs(), key=lambda run: run.data.tags[tags.RUNG])
    assert steps(statement_of(last.info.run_id)) == [(name, "refused") for name in names]


def test_auto_takes_no_options_and_nothing_is_computed(project):
    request = ask(classes=("3",))
    with pytest.raises(MethodError, match=r"has no options of its own\. Nothing was changed"):
        unlearn(request, method="auto", options={"epochs": 3})
    assert refused_runs() == []


def test_nothing_fits_where_no_training_row_is_selected(project):
    with pytest.raises(ForgetSetError):
        unlearn(ask(samples=("digits-9999",)), method="auto")


def test_a_search_that_was_finished_before_a_kill_is_not_repeated(project, monkeypatch):
    monkeypatch.setenv("LETHE_UNLEARNING__SEARCH_BUDGET", "2")
    request = ask(classes=("3",))
    whole = flows.carry_out._forget_and_measure

    def killed(*_, **__):
        raise Killed

    monkeypatch.setattr(flows.carry_out, "_forget_and_measure", killed)
    with pytest.raises(Killed):
        unlearn(request)
    monkeypatch.setattr(flows.carry_out, "_forget_and_measure", whole)
    monkeypatch.setattr("tasks.search.search", lambda *_, **__: pytest.fail("searched anew"))
    said = statement_of(unlearn(request).run_id)
    assert len(said.choice.search.trials) == 2

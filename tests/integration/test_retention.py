"""After what requests selected is no longer kept: later edits, comparisons and receipts say so."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from dateutil.relativedelta import relativedelta
from sqlalchemy import update

from flows.deletion_requests import deletion_requests
from flows.settle_requests import settle_requests
from lethe.audit.statement import Statement
from lethe.data.forget_spec import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.ledger.tables import requests
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import State
from lethe.errors import ModelError, RequestError
from lethe.settings import load_settings
from model_registry import tags
from model_registry.connection import connect
from model_registry.pull import pull_version
from model_registry.run import artifact_path
from tasks.compare import forget_set_of
from tasks.desk import open_desk
from tasks.earlier import look_back, with_earlier
from tasks.one_request import file_request
from tasks.trail_check import check_trail

POLICY = """
version = "test"
[models.digits]
ladder = [{method = "pte"}, {retrain = true}]
"""


@pytest.fixture
def forgotten(prepared, enter):
    """digits/2 forgot class 3, digits/3 two single rows; both requests are completed."""
    project, ids = prepared("forgotten-by-policy", forget_both)
    enter(project)
    return ids


def forget_both():
    Path("policy.toml").write_text(POLICY)
    ids = []
    for selection in ({"classes": ("3",)}, {"samples": ("digits-0004", "digits-0000")}):
        ids.append(ask(**selection))
        deletion_requests()
    assert states(*ids) == [State.COMPLETED] * 2
    return ids


def ask(**selection):
    spec = ForgetSpec(dataset="data/digits", selection=Selection(**selection))
    asked = DeletionRequest(model="digits@champion", forget=spec)
    return file_request(load_settings(), asked).id


def entry(request_id):
    with open_desk(load_settings()) as desk:
        return desk.ledger.get(request_id)


def states(*ids):
    return [entry(one).state for one in ids]


def said(request_id):
    run_id = entry(request_id).facts.run_id
    path = artifact_path(connect(load_settings()), run_id, tags.STATEMENT_FILE)
    return Statement.model_validate_json(path.read_bytes()).predicate


def pass_months(number):
    """As if every request had ended so many months earlier."""
    then = datetime.now(UTC) - relativedelta(months=number)
    over = update(requests).where(requests.c.ended_at.is_not(None)).values(ended_at=then)
    with open_desk(load_settings()) as desk:
        desk.ledger._run.write(lambda tx: tx.sql.execute(over))


def test_the_flow_that_settles_empties_what_is_past_its_time_and_nothing_younger(forgotten):
    pass_months(5)
    settle_requests()
    assert not any(entry(one).selection_gone for one in forgotten)
    pass_months(6)
    settle_requests()
    assert all(entry(one).selection_gone for one in forgotten)
    assert [entry(one).selected_by for one in forgotten] == ["class", "samples"]


def test_a_later_edit_works_and_says_what_it_could_not_measure(forgotten):
    pass_months(6)
    deletion_requests()  # nothing is due but that
    assert all(entry(one).selection_gone for one in forgotten)
    later = ask(classes=("5",))
    deletion_requests()
    assert states(later) == [State.COMPLETED]
    (gate,) = [gate for gate in said(later).gates if gate.name == "relapse"]
    # Class 3 is known by the version's tag; of the single rows nothing is known any more.
    assert (gate.measured, gate.passed) == (0, True)
    assert "worst of 1 earlier forget sets measured again; 1 could not be." in gate.words


def test_classes_are_known_by_their_tags_and_single_rows_are_not_claimed(forgotten):
    pass_months(6)
    settle_requests()
    classes, rows = ask(classes=("3",)), ask(samples=("digits-0004", "digits-0000"))
    deletion_requests()
    assert states(classes, rows) == [State.COMPLETED, State.FAILED]
    assert entry(classes).facts.successor == "digits/2"
    assert "had forgotten it already" in entry(classes).history[3].reason
    # It would be learned again: retraining is refused, and nothing is said to be forgotten.
    assert "no longer kept" in entry(rows).reason
    assert entry(rows).facts.successor is None


def test_a_network_is_not_retrained_on_rows_that_nobody_can_name_any_more(forgotten):
    settings = load_settings()
    with open_desk(settings) as desk:
        parent = pull_version(connect(settings), "digits/3", settings)
        forget, _ = forget_set_of.fn(desk, parent, None)
        before = look_back.fn(desk, parent)
        assert before.gone == 0
        # Class 3 and both rows are out, the rows once: one of them is no 3.
        assert with_earlier(settings, before, forget).count > forget.count == 2
    pass_months(6)
    settle_requests()
    with open_desk(settings) as desk:
        after = look_back.fn(desk, parent)
        assert (after.gone, after.classes) == (1, ("3",))
        assert [step.gone for step in after.steps] == [False, True]
        with pytest.raises(ModelError, match="no longer kept"):
            with_earlier(settings, after, forget)


def test_versions_are_measured_again_by_class_names_and_not_by_rows_that_are_gone(forgotten):
    pass_months(6)
    settle_requests()
    settings = load_settings()
    with open_desk(settings) as desk:
        second, third = (
            pull_version(connect(settings), name, settings) for name in ("digits/2", "digits/3")
        )
        forget, measured = forget_set_of.fn(desk, second, None)
        assert (forget.class_names, forget.count) == (("3",), measured.count)
        assert forget.count == said(forgotten[0]).data.count
        for judged, named in ((third, None), (third, forgotten[1]), (second, forgotten[0])):
            with pytest.raises(ModelError, match=r"no longer kept \(since 20"):
                forget_set_of.fn(desk, judged, named)


def test_the_record_stays_and_a_receipt_is_not_made_any_more(forgotten, lethe):
    first, second = forgotten
    assert lethe("audit", "receipt", second, "--out", "mine.json")[0] == 0
    pass_months(6)
    settle_requests()
    for one in forgotten:
        code, _, err = lethe("audit", "receipt", one, "--out", "none.json")
        assert code == RequestError.exit_code
        assert "is no longer kept (since" in " ".join(err.split())
        assert lethe("audit", "certificate", one, "--out", f"{one}.html")[0] == 0
    assert entry(first).facts.statement is not None
    settings = load_settings()
    with open_desk(settings) as desk:
        assert not [c for c in check_trail(settings, desk.ledger) if c.result == "wrong"]

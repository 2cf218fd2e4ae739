"""A quarantine on real MLflow: placed at once, lifted exactly, never built upon."""

import hashlib
import json
from dataclasses import replace

import mlflow
import pyarrow.parquet as pq
import pytest
import torch

from flows.deletion_requests import deletion_requests
from flows.quarantine import WaitingResult, quarantine, quarantine_waiting
from flows.unlearn import unlearn
from lethe.audit.statement import Statement
from lethe.data.dataset import dataset_rows
from lethe.data.forget_set import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import State
from lethe.errors import MethodError, ModelError, RefusedError, RequestError
from lethe.models.weights import FILE_NAME, save_weights
from lethe.patching.network import Patched, base_of
from lethe.settings import load_settings
from model_registry import tags
from model_registry.connection import connect
from model_registry.pull import pull_version
from model_registry.run import artifact_path
from tasks.desk import open_desk
from tasks.one_request import file_request
from tasks.prepare import check_can_patch
from tasks.quarantine_record import lift_quarantine
from tasks.trail_check import check_trail


def filed(*classes, samples=None, model="digits@champion"):
    selection = Selection(classes=classes or None, samples=samples)
    spec = ForgetSpec(dataset="data/digits", rev="HEAD", selection=selection)
    return file_request(load_settings(), DeletionRequest(model=model, forget=spec)).id


def champion():
    return int(connect(load_settings()).get_model_version_by_alias("digits", "champion").version)


def record(number):
    return connect(load_settings()).get_model_version("digits", str(number))


def held_out(label):
    (batch,) = dataset_rows(".", "data/digits", split="test", memory_budget=2**28).rows.batches(
        10_000
    )
    return batch.x[batch.y == label]


def answers(number, x):
    network = mlflow.pyfunc.load_model(f"models:/digits/{number}")
    return torch.tensor(network.predict(x.numpy())).argmax(1)


def weights_of(network, path):
    save_weights(network, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lift(model="digits"):
    with open_desk(load_settings()) as desk:
        return lift_quarantine.fn(desk, model)


def state_of(request_id):
    with open_desk(load_settings()) as desk:
        return desk.ledger.get(request_id)


def test_a_class_is_blocked_at_once_and_lifting_leads_back_to_the_very_parent(project, tmp_path):
    request = filed("3")
    placed = quarantine([request])
    assert (placed.version, placed.parent, placed.alias) == ("digits/2", "digits/1", "champion")
    assert (placed.verdict, champion()) == ("suppressed", 2)
    # Served as any version, without Lethe.
    assert not (answers(2, held_out(3)) == 3).any()
    for label in (0, 5):
        assert torch.equal(answers(2, held_out(label)), answers(1, held_out(label)))
    # It is no more than a block, and says so.
    known = record(2)
    assert known.tags[tags.ORIGIN] == "quarantined"
    assert known.tags[tags.COVERAGE].endswith("certified")
    assert tags.FORGOTTEN not in known.tags
    assert "Nothing was forgotten" in known.description
    assert "is a quarantine of class 3" in record(1).description
    entry = state_of(request)
    assert entry.state is State.APPROVED
    assert "Quarantined by digits/2" in entry.history[-1].reason

    client, settings = connect(load_settings()), load_settings()
    statement = Statement.model_validate_json(
        artifact_path(client, placed.run_id, tags.STATEMENT_FILE).read_bytes()
    ).predicate
    assert (statement.verdict, statement.rule) == ("suppressed", "patched")
    assert any("not carried out yet" in line for line in statement.not_covered)
    assert any("under the patch" in line for line in statement.not_covered)
    coverage = json.loads(artifact_path(client, placed.run_id, tags.COVERAGE_FILE).read_text())
    assert coverage["rows"] == coverage["blocked"] == coverage["certified"] > 100
    assert coverage["requests"] == [{"id": request, "rows": coverage["rows"], "recognised": 0.0}]
    assert not artifact_path(client, placed.run_id, tags.CERTIFICATES_FOLDER).exists()
    with open_desk(settings) as desk:
        assert not [c for c in check_trail(settings, desk.ledger) if c.result == "wrong"]
        client.set_model_version_tag("digits", "2", tags.STATEMENT, "0" * 64)
        wrong = [c.what for c in check_trail(settings, desk.ledger) if c.result == "wrong"]
        assert sorted(wrong) == ["recorded", "version tags"]
        client.set_model_version_tag("digits", "2", tags.STATEMENT, known.tags[tags.STATEMENT])

    parent, patched = (pull_version(client, f"digits/{n}", settings) for n in (1, 2))
    assert isinstance(patched.network, Patched)
    below = weights_of(base_of(patched.network), tmp_path / FILE_NAME)
    assert below == parent.facts.weights_sha256 == record(1).tags[tags.WEIGHTS]
    assert [str(ref) for ref in lift()] == ["digits/2", "digits/1"]
    assert champion() == 1
    assert "was lifted" in state_of(request).history[-1].reason
    with pytest.raises(ModelError, match="no quarantine"):
        lift()
    # Placing it again finds the version that there is.
    again = quarantine([request])
    assert (again.version, again.reused, champion()) == ("digits/2", True, 2)


def test_the_real_edit_begins_below_and_takes_the_alias_over(project):
    request = filed("3")
    quarantine([request])
    result = deletion_requests()
    (batch,) = result.batches
    assert (batch.error, batch.successor, batch.verdict) == (None, "digits/3", "suppressed")
    assert record(3).tags[tags.PARENT] == "digits/1"
    assert record(3).tags[tags.ORIGIN] == "unlearned"
    assert champion() == 3
    assert state_of(request).state is State.COMPLETED
    network = pull_version(connect(load_settings()), "digits/3", load_settings()).network
    assert not isinstance(network, Patched)
    with pytest.raises(RequestError, match="nothing to block"):
        quarantine([request])
    # Other weights than those under the patch are never served in their place.
    client = connect(load_settings())
    client.set_registered_model_alias("digits", "champion", "2")
    client.set_model_version_tag("digits", "2", tags.PARENT, "digits/3")
    with pytest.raises(ModelError, match="not those of digits/3"):
        lift()
    assert champion() == 2


def test_an_edit_builds_upon_the_candidate_though_the_quarantine_is_served(project):
    unlearn(filed("5"), promote=False)
    request = filed("3")
    placed = quarantine([request])
    assert (placed.version, placed.parent, champion()) == ("digits/3", "digits/1", 3)
    (batch,) = deletion_requests().batches
    assert batch.successor == "digits/4"
    assert record(4).tags[tags.PARENT] == "digits/2"
    assert champion() == 4
    assert state_of(request).state is State.COMPLETED


def test_a_second_request_joins_the_first_on_the_same_parent(project):
    first = quarantine([filed("3")])
    second = quarantine([filed("5")])
    assert (second.version, second.parent) == ("digits/3", "digits/1")
    assert set(first.requests) < set(second.requests)
    assert champion() == 3
    for label in (3, 5):
        assert not torch.isin(answers(3, held_out(label)), torch.tensor([3, 5])).any()


def test_by_policy_what_waits_is_blocked_once_and_what_cannot_be_is_told(project):
    policy = 'version = "1"\n[models.digits]\nquarantine = true\n'
    (project / "policy.toml").write_text(policy, encoding="utf-8")
    request = filed("3")
    first = quarantine_waiting()
    assert [one.requests for one in first.placed] == [(request,)]
    assert champion() == 2
    assert quarantine_waiting() == WaitingResult(placed=(), failed={})
    lift()
    assert quarantine_waiting() == WaitingResult(placed=(), failed={})
    assert (quarantine([request]).reused, champion()) == (True, 2)
    # Single rows cannot join whole classes in one patch.
    ids = pq.read_table("data/digits/train.parquet", columns=["sample_id"])["sample_id"]
    other = filed(samples=tuple(ids.to_pylist()[:3]))
    second = quarantine_waiting()
    assert (second.placed, list(second.failed)) == ((), [other])
    assert "2 kinds of selection" in second.failed[other]
    assert champion() == 2


def test_rows_are_blocked_in_regions_and_others_are_answered_as_before(project):
    ids = pq.read_table("data/digits/train.parquet", columns=["sample_id"])["sample_id"]
    placed = quarantine([filed(samples=tuple(ids.to_pylist()[:3]))], promote=False)
    assert (placed.alias, champion()) == (None, 1)
    assert placed.coverage.startswith("3 of 3 rows blocked")
    for label in range(10):
        assert torch.equal(answers(2, held_out(label)), answers(1, held_out(label)))


def test_what_costs_too_much_is_refused_and_what_is_served_stays(project):
    with pytest.raises(RefusedError, match="what is served is unchanged"):
        quarantine([filed("3")], options={"reach": "regions", "most_regions": 1, "width": 1e-5})
    assert champion() == 1
    assert len(connect(load_settings()).search_model_versions("name = 'digits'")) == 1


def test_a_pickled_version_is_refused_before_any_work(project, monkeypatch):
    monkeypatch.setattr("tasks.quarantine.check_can_patch", _refuse_pickle)
    with pytest.raises(MethodError, match="pickle"):
        quarantine([filed("3")])


def _refuse_pickle(parent, method):
    packaging = replace(parent.packaging, serialization_format="pickle")
    check_can_patch(replace(parent, packaging=packaging), method)


def test_prune_as_a_method_is_suppressed_and_can_be_edited_on(project):
    first = unlearn(filed("3"), method="prune")
    assert (first.successor, first.verdict) == ("digits/2", "suppressed")
    assert "network under a patch" in first.reason
    second = unlearn(filed("5"), method="prune")
    assert second.successor == "digits/3"
    for label in (3, 5):
        shares = (answers(3, held_out(label)) == label).float().mean()
        assert shares <= 0.05


def test_the_command_places_and_lifts(project, lethe):
    code, printed, _ = lethe(
        "quarantine", "place", "digits@champion", "--dataset", "data/digits", "--classes", "3"
    )
    assert code == 0
    assert "digits/2 is registered: digits/1 under a patch" in printed
    assert champion() == 2
    code, printed, _ = lethe("quarantine", "lift", "digits")
    assert code == 0
    assert "digits/1 is served again" in printed
    assert champion() == 1
    code, _, said = lethe("quarantine", "place")
    assert code != 0
    assert "Name a MODEL" in said

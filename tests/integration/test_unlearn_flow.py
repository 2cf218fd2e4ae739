"""The flow `unlearn` on real MLflow, DVC and Prefect: what it registers, refuses and reuses."""

import json

import pytest

from flows.unlearn import unlearn
from lethe.audit.statement import Statement, canonical_bytes, digest
from lethe.data.dataset import dataset_rows
from lethe.data.forget_set import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.request import DeletionRequest
from lethe.errors import ForgetSetError, MethodError, ModelError, RefusedError, RequestError
from lethe.evaluation.results import Evaluation
from lethe.settings import load_settings
from model_registry import tags
from model_registry.aliases import promote, rollback
from model_registry.connection import connect
from model_registry.lineage import forgotten_classes
from model_registry.pull import pull_version
from model_registry.run import artifact_path
from model_registry.version import VersionRef
from tasks.desk import open_desk
from tasks.one_request import file_request, take


def filed(request):
    """Judged by the policy and kept in the ledger, as `lethe unlearn` does."""
    return file_request(load_settings(), request)


def file_deletion(*classes, model="digits@champion", rev="HEAD", **more):
    spec = ForgetSpec(dataset="data/digits", rev=rev, selection=Selection(classes=classes))
    return filed(DeletionRequest(model=model, forget=spec, **more)).id


def versions(client):
    return sorted(int(v.version) for v in client.search_model_versions("name = 'digits'"))


def champion(client):
    return int(client.get_model_version_by_alias("digits", "champion").version)


def runs_with_verdict(client, verdict):
    experiment = client.get_experiment_by_name("lethe").experiment_id
    return client.search_runs([experiment], f"tags.`{tags.VERDICT}` = '{verdict}'")


@pytest.mark.pictures
def test_a_class_is_forgotten_and_the_successor_carries_its_lineage(project):
    result = unlearn(file_deletion("3", ground="GDPR Art. 17(1)(b)"), reference=True)
    settings = load_settings()
    client = connect(settings)

    assert (result.parent, result.successor, result.verdict) == (
        "digits/1",
        "digits/2",
        "suppressed",
    )
    assert champion(client) == 2
    version = client.get_model_version("digits", "2")
    parent = client.get_model_version("digits", "1")
    assert version.tags[tags.PARENT] == "digits/1"
    assert version.tags[tags.FORGOTTEN] == '["3"]'
    assert parent.tags[tags.SUPERSEDED_BY] == "digits/2"
    assert "#/models/digits/versions/1" in version.description
    assert "#/models/digits/versions/2" in parent.description

    run = client.get_run(result.run_id)
    contexts = {item.tags[0].value: item.dataset.digest for item in run.inputs.dataset_inputs}
    assert contexts == dict.fromkeys(["forget", "evaluation"], version.tags[tags.DVC_MD5])
    assert [m.model_id for m in run.inputs.model_inputs] == [parent.source.removeprefix("models:/")]
    assert run.data.metrics["after/forget_held_out"] == 0
    assert run.data.metrics["seconds/retraining"] > 0
    assert len(client.get_metric_history(result.run_id, "edit/loss")) >= 1

    statement = Statement.model_validate_json(
        artifact_path(client, result.run_id, tags.STATEMENT_FILE).read_bytes()
    )
    assert digest(statement) == version.tags[tags.STATEMENT]
    assert (
        canonical_bytes(statement)
        == artifact_path(client, result.run_id, tags.STATEMENT_FILE).read_bytes()
    )
    assert statement.predicate.successor.weights_sha256 == version.tags[tags.WEIGHTS]
    report = artifact_path(client, result.run_id, tags.REPORT_FILE).read_text()
    assert "suppressed" in report.lower()
    assert (
        artifact_path(client, result.run_id, tags.PLOTS_FOLDER) / "accuracy_per_class.png"
    ).is_file()


@pytest.mark.usefixtures("forgotten")
def test_the_successor_is_served_like_its_parent():
    import mlflow
    import numpy as np

    connect(load_settings())
    inputs = np.random.default_rng(0).random((5, 1, 8, 8), dtype=np.float32)
    before = mlflow.pyfunc.load_model("models:/digits/1")
    after = mlflow.pyfunc.load_model("models:/digits/2")
    assert after.predict(inputs).shape == before.predict(inputs).shape == (5, 10)
    assert after.metadata.signature == before.metadata.signature
    assert mlflow.artifacts.load_text(
        "models:/digits/2/requirements.txt"
    ) == mlflow.artifacts.load_text("models:/digits/1/requirements.txt")


def test_already_forgotten_is_success_and_does_nothing_twice(forgotten):
    first, _ = forgotten
    again = unlearn(file_deletion("3"))
    elsewhere = unlearn(file_deletion("3", model="digits/1"))
    assert first.status == "registered"
    assert (again.status, again.successor) == ("already_forgotten", "digits/2")
    assert (elsewhere.status, elsewhere.successor) == ("already_forgotten", "digits/2")
    assert versions(connect(load_settings())) == [1, 2, 3]


def test_without_promotion_the_alias_stays_and_can_be_moved_later_and_back(project):
    result = unlearn(file_deletion("3"), promote=False)
    client = connect(load_settings())
    assert (champion(client), result.alias) == (1, "candidate")

    assert promote(client, VersionRef("digits", 2), "champion")
    assert champion(client) == 2
    left, now = rollback(client, "digits", "champion")
    assert (str(left), str(now), champion(client)) == ("digits/2", "digits/1", 1)


def test_an_alias_that_somebody_moved_is_left_alone(project):
    unlearn(file_deletion("3"), promote=False)
    client = connect(load_settings())
    unlearn(file_deletion("5", model="digits/1"), promote=False)
    client.set_registered_model_alias("digits", "champion", "3")
    assert not promote(client, VersionRef("digits", 2), "champion")
    assert champion(client) == 3


def test_a_refused_run_registers_nothing_and_is_recorded(project, monkeypatch):
    monkeypatch.setenv("LETHE_GATES__MIN_AGREEMENT", "1.0")
    monkeypatch.setenv("LETHE_GATES__MAX_RETAINED_LOSS", "0.0")
    request = file_deletion("8")
    with pytest.raises(RefusedError, match="aliases are unchanged"):
        unlearn(request, options={"pull": "none", "epochs": 3})
    client = connect(load_settings())
    assert versions(client) == [1]
    assert champion(client) == 1
    (run,) = runs_with_verdict(client, "refused")
    assert run.info.status == "FINISHED"
    statement = json.loads(artifact_path(client, run.info.run_id, tags.STATEMENT_FILE).read_bytes())
    assert statement["predicate"]["verdict"] == "refused"
    assert "successor" not in statement["predicate"] or not statement["predicate"]["successor"]
    assert "refused" in client.get_model_version("digits", "1").description


def test_bad_input_is_refused_before_any_run_is_opened(project):
    client = connect(load_settings())
    before = len(client.search_runs([client.get_experiment_by_name("lethe").experiment_id]))
    with pytest.raises(ForgetSetError, match="Nothing was"):
        unlearn(file_deletion("eleven"))
    with pytest.raises(MethodError, match="no unlearning method"):
        unlearn(file_deletion("3"), method="wishing")
    with pytest.raises(ModelError, match="no model version"):
        unlearn(file_deletion("3", model="digits/99"))
    after = len(client.search_runs([client.get_experiment_by_name("lethe").experiment_id]))
    assert before == after


def test_replaced_weights_are_noticed(project):
    client = connect(load_settings())
    source = client.get_model_version("digits", "1").source.removeprefix("models:/")
    (weights,) = (project / ".lethe" / "artifacts").rglob(f"{source}/**/weights.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ModelError, match="do not match their record"):
        pull_version(client, "digits@champion", load_settings())


def test_no_ids_of_people_or_rows_reach_tags_params_or_artifacts(forgotten):
    result, _ = forgotten
    client = connect(load_settings())
    run = client.get_run(result.run_id)
    texts = [*run.data.tags.values(), *run.data.params.values()]
    folder = artifact_path(client, result.run_id)
    texts += [p.read_text(errors="ignore") for p in folder.rglob("*") if p.is_file()]
    assert not [t for t in texts if "digits-0" in t]


def test_a_tracked_file_is_itself_the_forget_set(project):
    """Made for the purpose, in its own file; the data set is only measured on."""
    import subprocess

    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    from dvc.repo import Repo

    rows = pq.read_table("data/digits/train.parquet")
    (project / "forget").mkdir()
    pq.write_table(rows.filter(pc.equal(rows["label"], "3")), "forget/threes.parquet")
    with Repo(str(project)) as repo:
        repo.add("forget/threes.parquet")
        assert repo.push("forget/threes.parquet.dvc") == 1
    for command in (
        ["git", "add", "forget"],
        ["git", "-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-qm", "Threes"],
    ):
        subprocess.run(command, check=True, capture_output=True)
    spec = ForgetSpec(
        dataset="forget/threes.parquet", selection=Selection(classes=("3",)), whole=True
    )
    request = filed(DeletionRequest(model="digits@champion", forget=spec, evaluation="data/digits"))
    result = unlearn(request.id)
    client = connect(load_settings())
    written = (artifact_path(client, result.run_id) / tags.STATEMENT_FILE).read_bytes()
    statement = json.loads(written)["predicate"]
    assert statement["data"]["path"] == "forget/threes.parquet"
    assert statement["data"]["count"] == statement["data"]["total"] == 128
    assert statement["evaluation"]["path"] == "data/digits"
    assert statement["figures"]["after.forget_held_out"] == 0
    assert statement["figures"]["after.retained_held_out"] > 0.95

    careless = DeletionRequest(model="digits/1", forget=spec.model_copy(update={"whole": False}))
    with pytest.raises(ForgetSetError, match="--whole"):
        unlearn(filed(careless).id)


def test_prefect_sees_the_request_id_and_the_result_but_no_data(project):
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        ArtifactFilter,
        ArtifactFilterKey,
        FlowRunFilter,
        FlowRunFilterName,
    )

    request = file_deletion("9")
    result = unlearn(request)
    with get_client(sync_client=True) as client:
        named = FlowRunFilter(name=FlowRunFilterName(any_=[f"unlearn-{request}"]))
        (run,) = client.read_flow_runs(flow_run_filter=named)
        artifacts = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["lethe-result"]))
        )
    assert run.parameters == {
        "request_id": request,
        "method": None,
        "options": None,
        "promote": None,
        "reference": False,
    }
    assert run.state.is_completed()
    texts = [a.data for a in artifacts if result.successor.partition("/")[0] in a.data]
    assert any("Forgot class 9" in text for text in texts)
    assert not any("](#/" in text for text in texts)


def test_a_persons_ids_stay_in_the_ledger(project, caplog, capfd):
    """The default method refuses people; nothing on the way there shows who was asked for."""
    spec = ForgetSpec(
        dataset="data/digits", selection=Selection(samples=("digits-0004", "digits-0000"))
    )
    request = filed(DeletionRequest(model="digits/1", forget=spec))
    with caplog.at_level("DEBUG"), pytest.raises(MethodError) as refused:
        unlearn(request.id)
    shown = "".join(capfd.readouterr()) + caplog.text + str(refused.value)
    assert "digits-000" not in shown


def test_a_second_class_is_forgotten_and_the_first_stays_gone_and_out_of_the_figures(forgotten):
    _, result = forgotten
    client = connect(load_settings())
    assert (result.parent, result.successor) == ("digits/2", "digits/3")
    assert forgotten_classes(client, VersionRef("digits", 3)) == ("3", "5")
    text = (artifact_path(client, result.run_id) / tags.EVALUATION_FILE).read_text()
    evaluation = Evaluation.model_validate_json(text)
    assert evaluation.forgotten_labels == ("3", "5")
    assert evaluation.before.retained_held_out.share > 0.95  # not dragged down by class 3
    assert evaluation.unknown_labels > 0
    network = pull_version(client, "digits/3", load_settings()).network
    rows = dataset_rows(".", "data/digits", split="test", memory_budget=2**28).rows
    batch = next(iter(rows.batches(len(rows))))
    answers = network(batch.x).argmax(1)
    assert not ((answers == 3) | (answers == 5)).any()


def test_other_settings_make_another_successor(project):
    # Else the second request would repeat the first, which waits for a promotion.
    (project / "policy.toml").write_text(
        'version = "1"\n[models.digits]\ncomplete_when = "registered"\n'
    )
    first = unlearn(file_deletion("3"), promote=False)
    same = unlearn(file_deletion("3"), promote=False)
    other = unlearn(file_deletion("3"), promote=False, options={"pull_weight": 30.0})
    assert same.successor == first.successor == "digits/2"
    assert (other.status, other.successor) == ("registered", "digits/3")


def test_a_request_resumed_with_other_settings_never_describes_the_first_tries_weights(
    project, monkeypatch
):
    import tasks.finish

    request = file_deletion("3")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(tasks.finish, "build_statement", killed)
        with pytest.raises(BaseException, match=r".*"):
            unlearn(request)
    client = connect(load_settings())
    with pytest.raises(ModelError, match="cut short"):
        promote(client, VersionRef("digits", 2), "champion")
    result = unlearn(request, options={"pull_weight": 30.0})
    assert result.successor == "digits/3"
    written = (artifact_path(client, result.run_id) / tags.STATEMENT_FILE).read_bytes()
    successor = json.loads(written)["predicate"]["successor"]
    registered = client.get_model_version("digits", "3").tags[tags.WEIGHTS]
    assert (successor["version"], successor["weights_sha256"]) == (3, registered)


def test_a_replaced_served_model_is_noticed(project):
    client = connect(load_settings())
    source = client.get_model_version("digits", "1").source.removeprefix("models:/")
    (served,) = (project / ".lethe" / "artifacts").rglob(f"{source}/**/model.pt2")
    served.write_bytes(served.read_bytes() + b"x")
    with pytest.raises(ModelError, match="MLflow serves"):
        pull_version(client, "digits@champion", load_settings())


KILLED_BEFORE_THE_STATEMENT = """
import os, sys
import tasks.finish
tasks.finish.write_pages = lambda *_: os._exit(9)
from flows.unlearn import unlearn
unlearn(sys.argv[1])
"""


def test_a_process_killed_for_real_after_registering_is_finished_not_repeated(
    project, prefect_server
):
    import os
    import subprocess
    import sys

    request = file_deletion("3")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_BEFORE_THE_STATEMENT, request],
        env={**os.environ, "PREFECT_API_URL": prefect_server},
        capture_output=True,
        check=False,
    )
    client = connect(load_settings())
    assert (killed.returncode, versions(client), champion(client)) == (9, [1, 2], 1)
    result = unlearn(request)
    assert (result.status, result.successor) == ("registered", "digits/2")
    assert (versions(client), champion(client)) == ([1, 2], 2)


def test_one_request_is_carried_out_by_one_process_at_a_time(project):
    request = file_deletion("3")
    with open_desk(load_settings()) as desk:
        batch = take.fn(desk, request)
        with pytest.raises(RequestError, match="another process"):
            unlearn(request)
        desk.ledger.surrender(batch)
    assert versions(connect(load_settings())) == [1]
    assert unlearn(request).successor == "digits/2"


def test_an_alias_called_candidate_still_serves_after_promotion(project):
    client = connect(load_settings())
    client.set_registered_model_alias("digits", "candidate", "1")
    result = unlearn(file_deletion("3", model="digits@candidate"))
    assert result.alias == "candidate"
    assert int(client.get_model_version_by_alias("digits", "candidate").version) == 2


def test_an_interrupted_training_is_given_its_alias_when_asked_again(project):
    from flows.train import train

    client = connect(load_settings())
    client.delete_registered_model_alias("digits", "champion")
    assert train("digits").reused
    assert champion(client) == 1
    with pytest.raises(ModelError, match="cannot name"):
        train("digits", model="a/b")

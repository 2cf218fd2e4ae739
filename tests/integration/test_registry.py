"""Registering, lineage, aliases and pages on a real MLflow store."""

import json
from dataclasses import replace

import mlflow
import pytest
import torch
from torch import nn

from lethe.errors import ModelError
from lethe.models.architecture import Architecture
from lethe.models.networks import digits_cnn
from lethe.settings import load_settings
from model_registry import tags
from model_registry.aliases import promote, rollback
from model_registry.connection import connect, experiment_id
from model_registry.lineage import DatasetUse, already_forgotten, ancestry, log_dataset_uses
from model_registry.page import append_note
from model_registry.pull import LetheMetadata, pull_version
from model_registry.register import default_packaging, register_version, weights_digest
from model_registry.run import DECIDING, unlearning_run
from model_registry.version import VersionRef

CLASSES = tuple("0123456789")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def settings(home, monkeypatch):
    monkeypatch.setenv("LETHE_HOME", str(home))
    return load_settings()


@pytest.fixture
def client(settings):
    return connect(settings)


def network(seed=0):
    torch.manual_seed(seed)
    return digits_cnn(classes=10).eval()


def register(client, settings, name, *, seed=0, **version_tags):
    net = network(seed)
    run = client.create_run(experiment_id(client, settings))
    ref = register_version(
        client,
        name=name,
        run_id=run.info.run_id,
        network=net,
        facts=LetheMetadata(
            architecture=Architecture(
                factory="lethe.models.networks:digits_cnn", kwargs={"classes": 10}
            ),
            classes=CLASSES,
            weights_sha256=weights_digest(net),
        ),
        packaging=default_packaging(net, torch.zeros(2, 1, 8, 8)),
        version_tags=version_tags,
    )
    return ref, run.info.run_id, net


def test_what_is_registered_is_pulled_back_trainable_and_equal(client, settings):
    ref, _, net = register(client, settings, "equal")
    pulled = pull_version(client, str(ref), settings)
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(pulled.network(x), net(x))
    pulled.network.train()
    pulled.network(x).sum().backward()
    assert all(p.grad is not None for p in pulled.network.parameters())
    assert pulled.packaging.serialization_format == "pt2"
    assert pulled.facts.classes == CLASSES


def test_a_run_registers_one_version_however_often_it_is_asked(client, settings):
    ref, run_id, net = register(client, settings, "once")
    again = register_version(
        client,
        name="once",
        run_id=run_id,
        network=net,
        facts=pull_version(client, str(ref), settings).facts,
        packaging=default_packaging(net, torch.zeros(2, 1, 8, 8)),
        version_tags={},
    )
    assert again == ref
    assert len(client.search_model_versions("name = 'once'")) == 1


def test_a_version_whose_tag_was_changed_is_refused(client, settings):
    ref, _, _ = register(client, settings, "tampered")
    client.set_model_version_tag("tampered", str(ref.number), tags.WEIGHTS, "0" * 64)
    with pytest.raises(ModelError, match="do not match their record"):
        pull_version(client, str(ref), settings)


def test_a_factory_outside_the_list_is_refused_when_pulling(client, settings):
    ref, _, _ = register(client, settings, "listed")
    closed = settings.model_copy(
        update={"models": settings.models.model_copy(update={"factories": ("else.where",)})}
    )
    with pytest.raises(ModelError, match="may be imported"):
        pull_version(client, str(ref), closed)


def test_metadata_of_another_form_is_refused(client, settings):
    ref, _, _ = register(client, settings, "odd")
    source = client.get_model_version("odd", "1").source
    assert source.startswith("models:/m-")
    files = list(
        (settings.state / "artifacts").rglob(f"{source.removeprefix('models:/')}/**/MLmodel")
    )
    text = files[0].read_text()
    files[0].write_text(text.replace("weights_sha256", "weights_sha1"))
    with pytest.raises(ModelError, match="not what Lethe wrote"):
        pull_version(client, str(ref), settings)


def test_the_line_of_ancestors_ends_where_a_record_is_gone(client, settings):
    one, _, _ = register(client, settings, "line")
    two, _, _ = register(
        client,
        settings,
        "line",
        **{tags.PARENT: str(one), tags.FORGET_DIGEST: "a" * 64, tags.STATEMENT: "s"},
    )
    three, _, _ = register(
        client, settings, "line", **{tags.PARENT: str(two), tags.FORGET_DIGEST: "b" * 64}
    )
    assert [int(v.version) for v in ancestry(client, three)] == [3, 2, 1]
    assert already_forgotten(client, three, "a" * 64) == two
    assert already_forgotten(client, two, "b" * 64) is None
    assert already_forgotten(client, three, "b" * 64) is None  # cut short: no statement
    client.delete_model_version("line", "2")
    assert [int(v.version) for v in ancestry(client, three)] == [3]


def test_a_circle_of_parents_ends(client, settings):
    one, _, _ = register(client, settings, "circle")
    client.set_model_version_tag("circle", "1", tags.PARENT, str(one))
    assert len(list(ancestry(client, one))) == 1


def test_promotion_moves_the_alias_only_from_the_parent(client, settings):
    one, _, _ = register(client, settings, "alias")
    two, _, _ = register(client, settings, "alias", **{tags.PARENT: str(one)})
    three, _, _ = register(client, settings, "alias", **{tags.PARENT: str(one)})
    client.set_registered_model_alias("alias", "champion", "1")
    assert promote(client, two, "champion")
    assert not promote(client, three, "champion")
    assert int(client.get_model_version_by_alias("alias", "champion").version) == 2
    left, now = rollback(client, "alias", "champion")
    assert (left, now) == (VersionRef("alias", 2, "champion"), one)


def test_a_refused_version_is_never_promoted(client, settings):
    one, _, _ = register(client, settings, "refused")
    two, _, _ = register(
        client, settings, "refused", **{tags.PARENT: str(one), tags.VERDICT: "refused"}
    )
    client.set_registered_model_alias("refused", "champion", "1")
    with pytest.raises(ModelError, match="refused by its gates"):
        promote(client, two, "champion")


def test_rolling_back_the_first_version_is_refused(client, settings):
    register(client, settings, "first")
    client.set_registered_model_alias("first", "champion", "1")
    with pytest.raises(ModelError, match="nothing to roll back to"):
        rollback(client, "first", "champion")


def test_notes_keep_what_people_wrote_and_are_added_once(client, settings):
    one, _, _ = register(client, settings, "notes")
    client.update_model_version("notes", "1", "Our best model.")
    append_note(client, one, "Version 2 forgot class 3.")
    append_note(client, one, "Version 2 forgot class 3.")
    text = client.get_model_version("notes", "1").description
    assert text == "Our best model.\n\nVersion 2 forgot class 3."


def test_a_runs_data_sets_can_be_read_back_at_their_commit(client, settings, seed_project):
    import subprocess

    sha = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=seed_project, text=True).strip()
    run = client.create_run(experiment_id(client, settings))
    use = DatasetUse(
        "digits (forget)", "forget", str(seed_project), "data/digits", sha, "f" * 32 + ".dir", 9
    )
    log_dataset_uses(
        client, run.info.run_id, [use, replace(use, name="e", context="evaluation")], None
    )
    found = client.get_run(run.info.run_id).inputs.dataset_inputs
    assert [item.tags[0].value for item in found] == ["forget", "evaluation"]
    assert json.loads(found[0].dataset.profile) == {"num_rows": 9}
    assert mlflow.data.get_source(found[0]).load().count_rows() == 1797


def test_a_run_that_failed_is_taken_up_again_and_one_with_a_statement_is_not(client, settings):
    def opened(**extra):
        run_tags = {**dict.fromkeys(DECIDING, "same"), **extra}
        return unlearning_run(client, settings, name="x", run_tags=run_tags)

    with pytest.raises(RuntimeError), opened() as first:
        raise RuntimeError
    assert client.get_run(first).info.status == "FAILED"
    with opened() as second:
        client.set_tag(second, tags.STATEMENT, "0" * 64)
    assert second == first
    assert client.get_run(first).info.status == "FINISHED"
    with opened() as third:
        pass
    assert third != first
    with opened(**{tags.METHOD_KEY: "other"}) as fourth:
        pass
    assert fourth not in {first, third}


def test_tied_and_buffered_networks_keep_their_digest(client, settings):
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.BatchNorm1d(4))
    assert weights_digest(net) == weights_digest(net)
    before = weights_digest(net)
    net.train()(torch.rand(8, 4))
    assert weights_digest(net) != before

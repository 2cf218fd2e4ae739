"""The training card of a registered version: made, kept, checked, handed on and made later."""

import json

import pytest
import torch

from flows.unlearn import unlearn
from lethe.data.dataset import dataset_rows
from lethe.data.forget_set import ForgetSpec
from lethe.data.selection import Selection
from lethe.data.training_card import FILE_NAME
from lethe.deletion.request import DeletionRequest
from lethe.errors import ModelError
from lethe.models.weights import file_digest
from lethe.settings import load_settings
from model_registry import tags
from model_registry.adopt import adopt_version
from model_registry.connection import connect
from model_registry.pull import pull_version
from tasks.one_request import file_request


def file_deletion(**selected):
    spec = ForgetSpec(dataset="data/digits", selection=Selection(**selected))
    request = DeletionRequest(model="digits@champion", forget=spec)
    return file_request(load_settings(), request).id


def pulled(reference):
    return pull_version(connect(load_settings()), reference, load_settings())


def card_file(project, reference):
    client = connect(load_settings())
    name, number = reference.split("/")
    source = client.get_model_version(name, number).source.removeprefix("models:/")
    (found,) = (project / ".lethe" / "artifacts").rglob(f"{source}/**/{FILE_NAME}")
    return found


def adopt_digits(client):
    """Another version of the same network, as if others had logged it: it has no card."""
    one = pulled("digits/1")
    return adopt_version(
        client, "digits/1", one.facts.architecture, one.facts.classes, load_settings()
    )


def test_a_trained_version_has_a_card_that_describes_it(project):
    version = pulled("digits/1")
    card = version.card()
    assert card.facts.weights_sha256 == version.facts.weights_sha256
    assert card.facts.dvc_md5 == version.tags[tags.DVC_MD5]
    assert version.tags[tags.CARD] == file_digest(card_file(project, "digits/1"))
    assert int(card.train_rows.sum()) == card.facts.fisher_rows == 1258
    assert int(card.held_out_rows.sum()) == 539
    metrics = connect(load_settings()).get_run(version.run_id).data.metrics
    right = (card.held_out_accuracy * card.held_out_rows).sum() / 539
    assert float(right) == pytest.approx(metrics["held_out/accuracy"], abs=1e-6)
    assert metrics["seconds/card"] > 0

    rows = dataset_rows(".", "data/digits", memory_budget=2**28).rows
    with torch.no_grad():
        features = version.network[:-1](rows.x[rows.y == 3])
    assert torch.allclose(card.for_class("3").feature_mean, features.mean(0), atol=1e-4)
    assert {name: one.shape for name, one in card.fisher.items()} == {
        name: one.shape for name, one in version.network.named_parameters()
    }


def test_a_card_that_was_replaced_is_refused_before_any_work(project):
    file = card_file(project, "digits/1")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match="not the one that was registered"):
        pulled("digits/1").card()
    client = connect(load_settings())
    experiment = client.get_experiment_by_name("lethe").experiment_id
    before = len(client.search_runs([experiment]))
    with pytest.raises(ModelError, match="training card"):
        unlearn(file_deletion(classes=("3",)))
    assert len(client.search_runs([experiment])) == before
    client.delete_model_version_tag("digits", "1", tags.CARD)
    assert pulled("digits/1").card() is None
    assert unlearn(file_deletion(classes=("3",))).successor == "digits/2"
    assert pulled("digits/2").card() is None


def test_the_card_of_a_successor_lacks_what_it_forgot(project):
    unlearn(file_deletion(classes=("3",)))
    before, version = pulled("digits/1").card(), pulled("digits/2")
    card = version.card()
    assert version.tags[tags.CARD] == file_digest(card_file(project, "digits/2"))
    found = card.for_class("3")
    assert (found.status, found.train_rows, found.feature_mean) == ("forgotten", 0, None)
    assert not card.feature_means[3].any()
    assert not card.train_loss[3].any()
    assert not card.held_out_loss[3].any()
    assert card.facts.fisher_holds_forgotten
    assert card.facts.weights_sha256 == before.facts.weights_sha256
    assert torch.equal(card.for_class("4").feature_mean, before.for_class("4").feature_mean)

    unlearn(file_deletion(classes=("5",)))
    assert pulled("digits/3").card().facts.forgotten == ("3", "5")


def test_a_retrained_successor_has_a_card_of_its_own(project):
    result = unlearn(file_deletion(classes=("3",)), method="retrain")
    version = pulled(result.successor)
    card = version.card()
    assert card.facts.weights_sha256 == version.facts.weights_sha256
    assert card.facts.forgotten == ("3",)
    assert card.facts.fisher_rows == int(card.train_rows.sum()) == 1258 - 128
    assert card.facts.notes == ("Classes taken out after they were forgotten: 1.",)


def test_a_run_that_is_taken_up_again_registers_one_version_with_one_card(project, monkeypatch):
    import tasks.finish

    request = file_deletion(classes=("3",))

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(tasks.finish, "build_statement", killed)
        with pytest.raises(BaseException, match=r".*"):
            unlearn(request)
    known = pulled("digits/2").tags[tags.CARD]
    assert unlearn(request).successor == "digits/2"
    assert pulled("digits/2").tags[tags.CARD] == known
    assert pulled("digits/2").card().facts.forgotten == ("3",)


def test_an_adopted_version_has_no_card_until_one_is_made(project, lethe):
    client = connect(load_settings())
    assert str(adopt_digits(client)) == "digits/2"
    assert pulled("digits/2").card() is None
    code, _, err = lethe("model", "card", "digits/2")
    assert code == ModelError.exit_code
    assert "lethe model card digits/2 --dataset data/NAME" in err

    made = ("model", "card", "digits/2", "--dataset", "data/digits", "--json")
    code, out, _ = lethe(*made)
    shown = json.loads(out)
    assert (code, shown["made"], shown["train_rows"]) == (0, True, 1258)
    version = pulled("digits/2")
    card, first = version.card(), pulled("digits/1").card()
    assert card.facts.weights_sha256 == version.facts.weights_sha256
    assert all(torch.allclose(card.fisher[n], first.fisher[n]) for n in first.fisher)
    assert json.loads(lethe(*made)[1])["made"] is False  # once
    code, out, _ = lethe("model", "card", "digits/2")
    assert code == 0
    assert "Fisher information: from 1258 training rows" in out
    code, _, err = lethe("model", "card", "digits/2", "--dataset", "data/other")
    assert code == ModelError.exit_code
    assert "already" in err

    (stored,) = (project / ".lethe" / "artifacts").rglob(f"{version.tags[tags.CARD]}.safetensors")
    stored.write_bytes(stored.read_bytes() + b"x")
    with pytest.raises(ModelError, match="not the one that was registered"):
        version.card()
    assert lethe("model", "card", "digits/2")[0] == ModelError.exit_code


def test_a_card_made_for_a_successor_does_not_describe_what_it_forgot(project, lethe):
    connect(load_settings()).delete_model_version_tag("digits", "1", tags.CARD)
    unlearn(file_deletion(classes=("3",)))
    assert lethe("model", "card", "digits/2", "--dataset", "data/digits")[0] == 0
    card = pulled("digits/2").card()
    assert card.for_class("3").status == "forgotten"
    assert card.facts.fisher_rows == 1258 - 128
    assert not card.facts.fisher_holds_forgotten


def test_a_card_is_made_of_the_recorded_data_and_of_no_other(project, lethe):
    client = connect(load_settings())
    client.delete_model_version_tag("digits", "1", tags.CARD)
    client.set_model_version_tag("digits", "1", tags.DVC_MD5, "0" * 32 + ".dir")
    code, _, err = lethe("model", "card", "digits/1", "--dataset", "data/digits")
    assert code == ModelError.exit_code
    assert "is not the data that digits/1 was trained on" in err
    assert pulled("digits/1").card() is None


def test_no_card_is_made_for_a_version_that_forgot_single_rows(project, lethe):
    request = file_deletion(samples=("digits-0000", "digits-0004"))
    result = unlearn(request, method="retrain", options={})
    card = pulled(result.successor).card()
    assert int(card.train_rows.sum()) == 1258 - 2  # its own, of the rows that it was made from
    client = connect(load_settings())
    client.delete_model_version_tag("digits", "2", tags.CARD)
    code, _, err = lethe("model", "card", "digits/2", "--dataset", "data/digits")
    assert code == ModelError.exit_code
    assert "would describe again" in err

"""What scripts read: JSON alone on standard output."""

import json

import numpy as np
import pytest

from lethe.settings import Settings, leaves


def parsed(result):
    code, out, _ = result
    assert code == 0
    return json.loads(out)


@pytest.fixture
def imported(lethe, tmp_path):
    """A data set imported from arrays: what the command printed."""
    x = np.linspace(0, 1, 40, dtype="float32").reshape(20, 2)
    np.savez(tmp_path / "signals.npz", x=x, y=np.array(["a", "b"] * 10))
    return parsed(lethe("data", "import", "npz", "signals.npz", "--name", "signals", "--json"))


def test_config_show(lethe, monkeypatch):
    monkeypatch.setenv("LETHE_SEED", "3")
    found = parsed(lethe("config", "show", "--json"))
    assert set(found) == {name for name, _ in leaves(Settings)}
    assert found["seed"] == {"value": 3, "source": "environment LETHE_SEED"}
    assert found["gates.min_agreement"]["source"] == "default"


def test_config_show_prints_the_same_as_a_table(lethe):
    code, out, _ = lethe("config", "show")
    assert code == 0
    assert all(name in out for name, _ in leaves(Settings))


def test_data_import(imported, tmp_path):
    assert imported["dataset"] == "data/signals"
    assert imported["info"]["classes"] == ["a", "b"]
    assert imported["next"][0] == "dvc add data/signals"
    assert sorted(p.name for p in (tmp_path / "data/signals").iterdir()) == [
        "test.parquet",
        "train.parquet",
    ]


def test_an_import_overwrites_only_when_told(lethe, imported):
    again = ("data", "import", "npz", "signals.npz", "--name", "signals")
    code, _, err = lethe(*again)
    assert code == 4
    assert "--force" in err
    assert lethe(*again, "--force")[0] == 0


def test_data_list(lethe, imported, tmp_path):
    md5 = "0123456789abcdef0123456789abcdef.dir"
    entry = f"outs:\n- md5: {md5}\n  size: 7\n  path: signals\n"
    (tmp_path / "data" / "signals.dvc").write_text(entry)  # as `dvc add` writes it
    (found,) = parsed(lethe("data", "list", "--json"))
    assert found == {"dataset": "data/signals", "dvc_md5": md5, "size": 7, "present": True}


def test_model_list(lethe, registry):
    assert parsed(lethe("model", "list", "--json")) == []
    registry.create_registered_model("churn")
    registry.create_model_version("churn", "/nowhere")
    registry.set_registered_model_alias("churn", "champion", "1")
    found = parsed(lethe("model", "list", "--json"))
    assert [(one["version"], one["aliases"]) for one in found] == [("churn/1", "champion")]
    assert found[0]["origin"] == "logged by others"
    assert "churn/1" in lethe("model", "list")[1]


def test_model_show(lethe, registry):
    registry.create_registered_model("churn")
    registry.create_model_version("churn", "/nowhere")
    registry.create_model_version("churn", "/nowhere", tags={"lethe.parent": "churn/1"})
    found = parsed(lethe("model", "show", "churn/2", "--json"))
    assert found["ancestry"] == ["churn/2", "churn/1"]
    assert found["tags"] == {"lethe.parent": "churn/1"}


def test_an_empty_registry_says_what_to_do(lethe, registry):
    code, out, err = lethe("model", "list")
    assert (code, out) == (0, "")
    assert "lethe train" in err

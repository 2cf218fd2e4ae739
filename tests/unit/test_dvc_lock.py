"""dvc.lock is what the stages would write now, so that a fresh checkout stays clean."""

import hashlib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LOCK = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
NAMES = ("digits", "watch", "cwru", "fashion_mnist")
STAGES = [f"{stage}@{name}" for stage in ("prepare", "train") for name in NAMES]
STAGES += ["prepare@cifar10"]  # training it takes two cores hours


def test_every_stage_is_locked():
    assert sorted(LOCK) == sorted(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_the_files_a_stage_depends_on_are_the_locked_ones(stage):
    for dependency in LOCK[stage]["deps"]:
        path = ROOT / dependency["path"]
        if path.suffix in {".py", ".json"}:
            found = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            message = f"{path.name} changed: run `dvc repro {stage}` and commit dvc.lock"
            assert found == dependency["md5"], message
        else:  # a data set: the output of its stage
            made = LOCK[f"prepare@{stage.partition('@')[2]}"]["outs"]
            assert dependency["md5"] in [out["md5"] for out in made]


@pytest.mark.parametrize("stage", STAGES)
def test_the_parameters_of_a_stage_are_the_locked_ones(stage):
    for name, value in LOCK[stage]["params"]["params.yaml"].items():
        group, _, key = name.partition(".")
        assert PARAMS[group][key] == value, f"run `dvc repro {stage}` and commit dvc.lock"

"""What a new user does first, in a fresh clone: `lethe demo`, twice."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LETHE = Path(sys.executable).with_name("lethe")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clone") / "lethe"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    return folder


def typed(folder, *words):
    """What the command prints in a process of its own, which must succeed."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LETHE_", "PREFECT_"))}
    environment["PATH"] = f"{LETHE.parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        [str(LETHE), *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def git_status(folder):
    return subprocess.check_output(["git", "status", "--porcelain"], cwd=folder, text=True)


@pytest.mark.slow
@pytest.mark.timeout(900)  # of a busy machine
def test_the_demo_from_nothing_then_again_then_the_other_commands(
    clone, prefect_server, lethe, monkeypatch
):
    first = typed(clone, "demo")  # starts a Prefect server of its own, as for a new user
    assert "made    digits/2, which forgot class 3" in first
    assert "suppressed" in first
    assert (report := Path(first.split("Report:")[1].split()[0])).is_file()
    assert "class 3" in report.read_text()
    assert "lethe ui" in first
    assert git_status(clone) == ""

    # What follows is in this process, which has imported everything.
    monkeypatch.chdir(clone)

    def run(*words, code=0):
        ended, out, err = lethe(*words)
        assert ended == code, out + err
        return out

    second = run("demo")
    assert "reused  data set digits" in second
    assert "reused  digits/1" in second
    assert "reused  digits/2" in second
    assert git_status(clone) == ""

    listed = json.loads(typed(clone, "model", "list", "--json"))
    assert [(v["version"], v["verdict"], v["aliases"]) for v in listed] == [
        ("digits/1", "", ""),
        ("digits/2", "suppressed", "champion"),
    ]
    judged = json.loads(run("evaluate", "digits/2", "--json"))
    assert judged["against"] == "digits/1"
    assert judged["evaluation"]["after"]["forget_held_out"]["correct"] == 0
    # Judged by the same rows, the parent has forgotten nothing.
    run("evaluate", "digits/1", "--against", "digits/1", "--request", "demo-digits-3", code=3)

    run("model", "rollback", "digits")
    unlearn = ("unlearn", "digits@champion", "--dataset", "data/digits", "--classes")
    stays = json.loads(run(*unlearn, "3", "--json"))  # who rolled back is not overruled
    assert (stays["successor"], stays["alias"]) == ("digits/2", "candidate")
    again = json.loads(run(*unlearn, "3", "--promote", "--json"))
    assert (again["status"], again["successor"], again["alias"]) == (
        "already_forgotten",
        "digits/2",
        "champion",
    )
    versions = len(listed)
    refused = (*unlearn, "5", "--option", "push=none", "--option", "epochs=1")
    run(*refused, code=3)
    assert len(json.loads(run("model", "list", "--json"))) == versions

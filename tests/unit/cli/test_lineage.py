"""`lethe model lineage`: the tree in a terminal, as JSON and as a picture."""

import json

import pytest


@pytest.fixture
def line(registry):
    """Two versions of `digits`, the second of which forgot class 3 and serves."""
    registry.create_registered_model("digits")
    registry.create_model_version("digits", "/nowhere", tags={"lethe.superseded_by": "digits/2"})
    forgot = {
        "lethe.origin": "unlearned",
        "lethe.parent": "digits/1",
        "lethe.verdict": "suppressed",
        "lethe.forgotten_classes": '["[red]3"]',
    }
    registry.create_model_version("digits", "/nowhere", tags=forgot)
    registry.set_registered_model_alias("digits", "champion", "2")


def test_the_tree(lethe, line):
    code, out, _ = lethe("model", "lineage", "digits")
    assert code == 0
    name, first, second = out.splitlines()
    assert name == "digits"
    assert "version 1  logged by others, superseded by digits/2" in first
    assert "version 2  suppressed, forgot class [red]3" in second
    assert second.rstrip().endswith("champion")
    assert second.index("version") > first.index("version")


def test_json_and_picture(lethe, line, tmp_path):
    code, out, err = lethe("model", "lineage", "digits", "--json", "--picture", "line.png")
    assert code == 0
    first, second = json.loads(out)
    assert (first["version"], first["above"], first["parent"]) == (1, None, None)
    assert second["above"] == 1
    assert (second["forgot"], second["aliases"]) == ("class [red]3", ["champion"])
    assert "Wrote line.png" in err
    assert (tmp_path / "line.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_shown_is_refused(lethe, line, tmp_path):
    code, _, err = lethe("model", "lineage", "absent", "--picture", "absent.svg")
    assert code == 5
    assert "lethe model list" in err
    code, _, err = lethe("model", "lineage", "digits", "--picture", "line.gif")
    assert code == 2
    assert ".svg" in err
    assert not list(tmp_path.glob("*.svg")) + list(tmp_path.glob("*.gif"))

"""What is made of a record afterwards: a check by schedule, a picture, events for other tools."""

import builtins
import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from prefect.client.orchestration import get_client

from flows.unlearn import unlearn
from flows.verify_trail import verify_trail
from lethe.data.forget_spec import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.request import DeletionRequest
from lethe.settings import load_settings
from model_registry import tags
from model_registry.connection import connect
from model_registry.run import artifact_path
from tasks.one_request import file_request


def forget(label, **options):
    spec = ForgetSpec(dataset="data/digits", selection=Selection(classes=(label,)))
    request = DeletionRequest(model="digits@champion", forget=spec)
    return unlearn(file_request(load_settings(), request).id, **options)


def checked():
    """A run of the flow as Prefect's server has it: its state and what that says."""
    state = verify_trail(return_state=True)
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(state.state_details.flow_run_id)
    return run.state.type.value, run.state.message


@pytest.mark.usefixtures("forgotten")
def test_a_run_fails_by_the_names_of_what_is_not_as_it_was_recorded():
    assert checked()[0] == "COMPLETED"
    client = connect(load_settings())
    before = client.get_model_version("digits", "2").tags[tags.PARENT]
    client.set_model_version_tag("digits", "2", tags.PARENT, "digits/7")
    kind, words = checked()
    assert kind == "FAILED"
    assert "1 checks of" in words
    assert "version tags, record 1" in words
    assert "lethe audit verify" in words
    client.set_model_version_tag("digits", "2", tags.PARENT, before)
    assert checked()[0] == "COMPLETED"


def test_the_run_has_a_picture_of_the_line_and_the_version_page_leads_to_it(forgotten):
    first, second = forgotten
    client = connect(load_settings())

    def shown(result):
        path = artifact_path(client, result.run_id, tags.LINEAGE_FILE)
        root = ET.parse(path).getroot()  # noqa: S314 (our own)
        return root, ["".join(one.itertext()).strip() for one in root.iter() if "text" in one.tag]

    root, words = shown(second)
    assert root.find("{http://www.w3.org/2000/svg}title").text == (
        "digits: 3 versions, 2 made by forgetting"
    )
    for word in ("version 1", "version 3", "forgot class 3", "forgot class 5"):
        assert word in words
    assert words.count("suppressed") == 2
    assert {"superseded by 2", "superseded by 3"} <= set(words)
    assert (words.count("new"), "champion" in words) == (1, False)
    # Nothing is fetched from elsewhere to show it.
    assert not [v for one in root.iter() for k, v in one.attrib.items() if "href" in k and ":" in v]
    # The first one's picture stays as it was then.
    assert "forgot class 5" not in shown(first)[1]
    page = client.get_model_version("digits", "3").description
    assert f"/runs/{second.run_id}/artifacts/{tags.LINEAGE_FILE})" in page


@pytest.mark.usefixtures("forgotten")
def test_every_record_becomes_an_event_and_a_refusal_one_that_failed(lethe):
    with pytest.raises(Exception, match="Refused"):
        forget("7", options={"push": "none", "epochs": 1})
    code, _, err = lethe("audit", "openlineage", "--out", "events.jsonl")
    assert (code, "3 events" in err) == (0, True)
    events = [json.loads(line) for line in Path("events.jsonl").read_text().splitlines()]
    assert [one["eventType"] for one in events] == ["COMPLETE", "COMPLETE", "FAIL"]
    done = events[0]
    assert done["outputs"][0]["facets"]["version"]["datasetVersion"] == "2"
    # The refused edit began where the one before it ended.
    parents = [one["inputs"][-1]["facets"]["version"]["datasetVersion"] for one in events]
    assert parents == ["1", "2", "3"]
    data = done["inputs"][0]["facets"]["version"]["datasetVersion"]
    assert data == connect(load_settings()).get_model_version("digits", "2").tags[tags.DVC_MD5]
    assert lethe("audit", "openlineage", "--out", "events.jsonl")[0] == 2
    assert len(Path("events.jsonl").read_text().splitlines()) == 3


def test_without_the_extra_its_install_command_is_named(tmp_path, monkeypatch, lethe):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.split(".")[0] == "openlineage":
            raise ModuleNotFoundError(name)
        return real(name, *rest, **more)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(builtins, "__import__", without)
    code, _, err = lethe("audit", "openlineage")
    assert code == 2
    assert "pip install 'lethe[openlineage]'" in err
    assert not Path("events.jsonl").exists()

"""Statements as OpenLineage events, held against the package's own classes and transport."""

import json
from uuid import UUID

import pytest
from audit_statements import NOON, REQUEST, A, B, statement
from openlineage.client import OpenLineageClient, event_v2, facet_v2
from openlineage.client.serde import Serde
from openlineage.client.transport.file import FileConfig, FileTransport

from lethe.audit.openlineage import run_event

DIGEST = "7" * 64


def told(**changes):
    """The event of a statement, as it is written."""
    return json.loads(Serde.to_json(run_event(statement(**changes), digest=DIGEST)))


REFUSED = {
    "successor": None,
    "verdict": "refused",
    "rule": "gate_failed",
    "reason": "It cost much.",
}


def test_an_edit_leads_from_the_data_and_the_parent_to_the_successor():
    event = told()
    assert event["eventType"] == "COMPLETE"
    data, parent = event["inputs"]
    assert (data["namespace"], data["name"]) == ("https://example.org/data.git", "data/digits")
    assert data["facets"]["version"]["datasetVersion"] == "d" * 32 + ".dir"
    assert data["facets"]["lethe_dvc"]["gitRev"] == "c" * 40
    assert data["inputFacets"]["lethe_use"]["role"] == "forget"
    (successor,) = event["outputs"]
    assert [(one["namespace"], one["name"]) for one in (parent, successor)] == [
        ("mlflow", "digits")
    ] * 2
    versions = [one["facets"]["version"]["datasetVersion"] for one in (parent, successor)]
    assert versions == ["1", "2"]
    weights = [one["facets"]["lethe_weights"]["sha256"] for one in (parent, successor)]
    assert weights == [A, B]
    change = successor["facets"]["lifecycleStateChange"]["lifecycleStateChange"]
    assert change == "OVERWRITE"
    assert "lifecycleStateChange" not in parent["facets"]
    assert event["job"]["name"] == "unlearn.digits"


def test_the_facets_say_what_was_forgotten_with_which_verdict_by_which_record():
    facets = told()["run"]["facets"]
    forgot = {"kind": "class", "classes": ["3"], "rows": 137, "requests": 1, "totalRows": 1347}
    assert forgot.items() <= facets["lethe_forgotten"].items()
    assert facets["lethe_verdict"]["verdict"] == "suppressed"
    assert facets["lethe_verdict"]["gates"][0]["measured"] == 0.99
    assert facets["lethe_verdict"]["notCovered"]
    assert facets["lethe_record"]["sha256"] == DIGEST
    assert "errorMessage" not in facets


def test_a_refusal_is_a_run_that_failed_without_output():
    event = told(**REFUSED)
    assert (event["eventType"], event["outputs"]) == ("FAIL", [])
    assert event["run"]["facets"]["errorMessage"]["message"] == "It cost much."
    assert len(event["inputs"]) == 2


def test_data_that_was_only_measured_on_is_an_input_of_its_own():
    evaluation = {"path": "data/held", "git_rev": "b" * 40, "dvc_md5": "1" * 32 + ".dir"}
    inputs = told(evaluation=evaluation)["inputs"]
    roles = [one["inputFacets"].get("lethe_use", {}).get("role") for one in inputs]
    assert roles == ["forget", "evaluation", None]


def test_the_same_record_is_the_same_run_and_another_one_is_not():
    first, again = told(), told()
    assert first == again
    assert UUID(first["run"]["runId"]).version == 5
    other = run_event(statement(), digest="8" * 64)
    assert other.run.runId != first["run"]["runId"]


def test_nobody_who_asked_is_named():
    request = REQUEST | {"id": "canary-id", "ticket": "CANARY-7", "approved_by": ("canary-dpo",)}
    text = json.dumps(told(requests=(request,))).lower()
    assert "canary" not in text
    assert "e" * 64 not in text  # the keyed digest of what was selected
    assert "9" * 64 not in text  # the root of its tree


@pytest.mark.parametrize("changes", [{}, REFUSED], ids=["done", "refused"])
def test_openlineage_reads_and_writes_it(tmp_path, changes):
    event = run_event(statement(**changes), digest=DIGEST)
    path = tmp_path / "events.jsonl"
    transport = FileTransport(FileConfig(log_file_path=str(path), append=True))
    OpenLineageClient(transport=transport).emit(event)
    written = json.loads(path.read_text(encoding="utf-8"))
    # The client adds tags of its own environment to the facets of job and run.
    for part in ("job", "run"):
        for facet in set(written[part]["facets"]) - set(told(**changes)[part]["facets"]):
            del written[part]["facets"][facet]
    assert written == told(**changes)
    # Its classes check ids, times and addresses when they are made from plain data.
    read = event_v2.RunEvent(
        eventTime=written["eventTime"],
        producer=written["producer"],
        eventType=event_v2.RunState(written["eventType"]),
        run=event_v2.Run(written["run"]["runId"], written["run"]["facets"]),
        job=event_v2.Job(**written["job"]),
        inputs=[event_v2.InputDataset(**one) for one in written["inputs"]],
        outputs=[event_v2.OutputDataset(**one) for one in written["outputs"]],
    )
    assert json.loads(Serde.to_json(read)) == written
    assert written["eventTime"].startswith(f"{NOON:%Y-%m-%d}")


def test_standard_facets_have_the_names_and_fields_of_the_package():
    facets = run_event(statement(**REFUSED), digest=DIGEST).run.facets
    assert isinstance(facets["errorMessage"], facet_v2.error_message_run.ErrorMessageRunFacet)
    assert all(isinstance(one, facet_v2.RunFacet) for one in facets.values())
    own = {name for name, one in facets.items() if type(one).__module__.endswith("base")}
    assert own
    assert all(name.startswith("lethe_") for name in own)

"""The hidden layers in a real run: measured, recorded, and what decides the verdict."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from test_unlearn_flow import file_deletion

from flows.evaluate import evaluate
from flows.unlearn import unlearn
from lethe.audit.statement import Statement
from lethe.errors import RefusedError
from lethe.settings import load_settings
from model_registry import tags
from model_registry.connection import connect
from model_registry.run import artifact_path
from tasks.retrain import REFERENCES

pytestmark = pytest.mark.features


def statement_of(client, run_id):
    path = artifact_path(client, run_id, tags.STATEMENT_FILE)
    return Statement.model_validate_json(path.read_bytes()).predicate


def test_readings_are_in_metrics_and_statement_and_the_reference_is_kept(project):
    result = unlearn(file_deletion("3"), reference=True, promote=False)
    settings = load_settings()
    client = connect(settings)
    metrics = client.get_run(result.run_id).data.metrics
    assert metrics["features/relearn/position"] > 0.5
    assert {"features/linear_probe_2/fresh", "features/likeness/retrained"} <= set(metrics)
    predicate = statement_of(client, result.run_id)
    assert (predicate.verdict, predicate.rule) == ("suppressed", "feature_level_remembers")
    assert predicate.figures["features.relearn.position"] == pytest.approx(
        metrics["features/relearn/position"], rel=1e-4
    )
    assert not any("feature level was not measured" in gap for gap in predicate.not_covered)
    assert predicate.compute.retraining is not None
    (kept,) = (settings.state / REFERENCES).iterdir()
    assert kept.suffix == ".safetensors"

    # Two registered versions are compared on both levels as well.
    found = evaluate("digits/2")
    assert found.evaluation.level == "feature"
    assert found.evaluation.features.reference == "fresh"


def test_who_asks_for_erased_registers_nothing_less(project, monkeypatch):
    monkeypatch.setenv("LETHE_GATES__LEAST_VERDICT", "erased")
    with pytest.raises(RefusedError, match="asks for erased"):
        unlearn(file_deletion("3"))
    client = connect(load_settings())
    assert [int(v.version) for v in client.search_model_versions("name = 'digits'")] == [1]
    experiment = client.get_experiment_by_name("lethe").experiment_id
    (run,) = client.search_runs([experiment], f"tags.`{tags.VERDICT}` = 'refused'")
    evaluation = json.loads(
        artifact_path(client, run.info.run_id, tags.EVALUATION_FILE).read_text(encoding="utf-8")
    )
    assert evaluation["features"]["reference"] == "fresh"

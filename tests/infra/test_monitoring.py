"""Alert rules and dashboard: their forms, and that every figure in them is one of the service."""

import json
import re
import subprocess

import infra_files as files
import pytest
import yaml

FOLDER = files.INFRA / "monitoring"
RULES = yaml.safe_load(files.read(FOLDER / "alerts.yml"))["groups"][0]["rules"]
DASHBOARD = json.loads(files.read(FOLDER / "dashboard.json"))


def promtool(*words):
    program = files.tool("promtool", "Debian's package prometheus")
    return subprocess.run([program, *words], capture_output=True, text=True, check=False)


def test_the_rules_fire_when_they_are_to_and_only_then():
    tested = promtool("test", "rules", str(FOLDER / "alerts_test.yml"))
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_a_rule_with_another_threshold_would_be_noticed(tmp_path):
    text = files.read(FOLDER / "alerts.yml")
    assert "min(lethe_days_left) < 5" in text
    (tmp_path / "alerts.yml").write_text(text.replace("_left) < 5", "_left) < 50"))
    (tmp_path / "alerts_test.yml").write_text(files.read(FOLDER / "alerts_test.yml"))
    assert promtool("test", "rules", str(tmp_path / "alerts_test.yml")).returncode != 0


def test_every_rule_is_tested_for_and_against():
    cases = yaml.safe_load(files.read(FOLDER / "alerts_test.yml"))["tests"]
    fires = {one["alertname"] for case in cases for one in case["alert_rule_test"]
             if one.get("exp_alerts")}  # fmt: skip
    silent = {one["alertname"] for case in cases for one in case["alert_rule_test"]
              if not one.get("exp_alerts")}  # fmt: skip
    assert fires == silent == {rule["alert"] for rule in RULES}


def test_every_rule_says_what_to_do():
    for rule in RULES:
        assert {"summary", "what_to_do"} == set(rule["annotations"])
        assert rule["labels"]["severity"] in {"page", "ticket"}


def test_prometheus_takes_its_configuration(tmp_path):
    text = files.read(FOLDER / "prometheus.yml")
    for name in ("/run/secrets/metrics-token", "/run/tls/ca.pem"):
        (tmp_path / name.rpartition("/")[2]).write_text("")
        text = text.replace(name, str(tmp_path / name.rpartition("/")[2]))
    (tmp_path / "prometheus.yml").write_text(text)
    (tmp_path / "alerts.yml").write_text(files.read(FOLDER / "alerts.yml"))
    checked = promtool("check", "config", "--syntax-only", str(tmp_path / "prometheus.yml"))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def expressions():
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")


@pytest.mark.parametrize(("name", "text"), expressions(), ids=lambda value: str(value)[:30])
def test_expressions_are_promql(name, text):
    parser = pytest.importorskip(
        "promql_parser", reason="promql-parser is not installed (the extra infra)"
    )
    assert parser.parse(text), name


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Names of all figures that the service gives, each with its labels."""
    from prometheus_client.parser import text_string_to_metric_families

    from lethe.deletion.intake.metrics import Metrics
    from lethe.deletion.ledger.ledger import open_ledger

    url = f"sqlite:///{tmp_path_factory.mktemp('figures') / 'ledger.db'}"
    with open_ledger(url, key=b"0" * 32) as ledger:
        metrics = Metrics(ledger)
        metrics.arrived("desk", "filed")
        metrics.refused("desk", ["desk"], "signature_wrong")
        metrics.committed(3, 0.01)
        metrics.answered("POST", "/webhooks/{source}", 202, 0.01)
        families = text_string_to_metric_families(metrics.text(stale=False).decode())
        found = {}
        for family in families:
            found.setdefault(family.name, set())
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
        return found


def test_every_figure_is_one_that_the_service_gives(served):
    named = {m for _, text in expressions() for m in re.findall(r"\b(lethe_\w+)", text)}
    assert len(named) > 8
    assert named <= set(served)


def test_every_label_is_one_that_the_figure_has(served):
    # These have samples only once the ledger holds something.
    served = served | {"lethe_requests": {"state"}, "lethe_letters_owed": {"kind"}}
    for _, text in expressions():
        for name, inside in re.findall(r"\b(lethe_\w+)\{([^}]*)\}", text):
            assert set(re.findall(r"(\w+)(?:=~|!~|!=|=)", inside)) <= served[name]


def test_values_of_labels_are_words_of_the_code():
    from lethe.deletion.states import State
    from lethe.deletion.tickets.errors import WhyNot

    for _, text in expressions():
        for values in re.findall(r'state(?:=~|!~|=)"([^"]+)"', text):
            assert set(values.split("|")) <= {state.value for state in State}
        for values in re.findall(r'reason(?:=~|=)"([^"]+)"', text):
            assert set(values.split("|")) <= {reason.value for reason in WhyNot}


def test_panels_of_the_dashboard_do_not_cover_each_other():
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"])
                 for y in range(at["y"], at["y"] + at["h"])}  # fmt: skip
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


def test_every_panel_is_explained_and_asks_the_chosen_source():
    for panel in DASHBOARD["panels"]:
        assert panel["title"]
        assert panel["description"].endswith(".")
        for one in (panel, *panel["targets"]):
            assert one["datasource"] == {"type": "prometheus", "uid": "${source}"}


def test_the_token_of_prometheus_is_a_file():
    (job,) = yaml.safe_load(files.read(FOLDER / "prometheus.yml"))["scrape_configs"]
    assert set(job["authorization"]) == {"type", "credentials_file"}
    assert job["scheme"] == "https"
    assert "insecure_skip_verify" not in job["tls_config"]
    assert job["metrics_path"] == "/metrics"

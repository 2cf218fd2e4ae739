"""`prefect.yaml` names what there is, pins what is installed, and holds no secret."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from lethe.settings import Settings, leaves

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "prefect.yaml").read_text(encoding="utf-8")
FILE = yaml.safe_load(TEXT)
DEPLOYMENTS = {one["name"]: one for one in FILE["deployments"]}


def flow_name(entrypoint):
    """Name of the flow that an entrypoint leads to, from its source: `@flow(name=...)`."""
    path, _, function = entrypoint.partition(":")
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and mark.func.id == "flow":
                    return next(k.value.value for k in mark.keywords if k.arg == "name")
    raise AssertionError(f"{entrypoint} is not a flow")


def test_there_is_one_on_a_schedule_one_on_demand_one_that_settles_and_one_that_checks():
    named = {f"{flow_name(one['entrypoint'])}/{name}" for name, one in DEPLOYMENTS.items()}
    assert named == {
        "deletion-requests/scheduled",
        "deletion-requests/on-demand",
        "settle-requests/settle",
        "verify-trail/weekly",
        "overdue-requests/daily",
    }


def test_what_the_intake_service_starts_is_deployed():
    started = Settings().intake.deployment
    flow, _, name = started.partition("/")
    assert flow_name(DEPLOYMENTS[name]["entrypoint"]) == flow
    assert "schedules" not in DEPLOYMENTS[name]


def test_requests_are_due_every_night_and_settled_every_ten_minutes():
    (nightly,) = DEPLOYMENTS["scheduled"]["schedules"]
    (often,) = DEPLOYMENTS["settle"]["schedules"]
    minute, hour, *every = nightly["cron"].split()
    assert (0 <= int(minute) < 60, 0 <= int(hour) < 24, every) == (True, True, ["*"] * 3)
    assert (nightly["active"], nightly["timezone"]) == (True, "UTC")
    assert (often["interval"], often["active"]) == (600, True)


def test_the_audit_trail_is_checked_once_a_week():
    (weekly,) = DEPLOYMENTS["weekly"]["schedules"]
    minute, hour, day, month, weekday = weekly["cron"].split()
    assert (int(minute), int(hour), day, month) == (0, 5, "*", "*")
    assert weekday == "1"
    assert (weekly["active"], weekly["timezone"]) == (True, "UTC")


@pytest.mark.parametrize(
    ("name", "limit", "strategy"),
    [
        ("scheduled", 16, "ENQUEUE"),  # workers share the models
        ("on-demand", 16, "ENQUEUE"),
        ("settle", 1, "CANCEL_NEW"),
        ("weekly", 1, "CANCEL_NEW"),
        ("daily", 1, "CANCEL_NEW"),
    ],
)
def test_a_run_that_may_be_needed_waits_and_what_looks_at_everything_is_dropped(
    name, limit, strategy
):
    found = DEPLOYMENTS[name]["concurrency_limit"]
    assert found == {"limit": limit, "collision_strategy": strategy}


def test_the_version_of_prefect_is_the_one_that_is_pinned():
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    (pinned,) = re.findall(r"^prefect==(\S+)$", pins, re.MULTILINE)
    assert FILE["prefect-version"] == pinned


def test_edits_go_to_the_pool_with_accelerators_and_no_deployment_has_parameters():
    pools = {name: one["work_pool"]["name"] for name, one in DEPLOYMENTS.items()}
    edits = {"scheduled": "gpu", "on-demand": "gpu"}
    assert pools == {**edits, "settle": "cpu", "weekly": "cpu", "daily": "cpu"}
    assert not any("parameters" in one for one in DEPLOYMENTS.values())


def test_no_secret_and_no_folder_of_a_machine_gets_into_a_deployment():
    # Prefect writes what stands for {{ $NAME }} into the deployment when it is made.
    assert set(re.findall(r"\{\{\s*\$(\w+)", TEXT)) == {"PWD"}
    for one in DEPLOYMENTS.values():
        variables = one["work_pool"]["job_variables"]
        assert set(variables) == {"env"}
        assert all(re.fullmatch(r"1|true|false", value) for value in variables["env"].values())
        assert not any(name.startswith("LETHE_") for name in variables["env"])
    values = [line.split("#")[0] for line in TEXT.splitlines()]
    assert not re.search(r"[:\s\"']/\w", "\n".join(values))


def test_the_settings_that_the_comments_name_are_there():
    known = {name for name, _ in leaves(Settings)}
    named = {"ledger.url", "mlflow.tracking_uri", "key_file", "intake.deployment"}
    assert all(name in TEXT for name in named)
    assert named <= known

"""Bad input of every kind: no 5xx, nothing untold, nothing lost. FUZZ_EXAMPLES sets how much."""

import hmac
import os

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.python.asgi import shutdown_lifespans

# Per route here, and a third of it in all below; ten times as much in benchmarks/fuzz.py.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "30"))
SOURCES = {"issues": "issues", "ping": "issues", "portal": "portal", "dsr": "dsr"}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture
def app(fuzz_benchmark, tmp_path):
    """The application; schemathesis starts and ends it."""
    world = fuzz_benchmark.World(tmp_path)
    yield world.app
    shutdown_lifespans()
    world.ledger.close()


class Sign:
    """Signs what schemathesis is about to send, as each source wants it, or shows a token."""

    def __init__(self, benchmark, who):
        self.secrets = benchmark.SECRETS
        self.who = who

    def __call__(self, request):
        if self.who == "nobody":
            return request
        if self.who in {"issues", "ping"}:
            body = request.body or b""
            body = body.encode() if isinstance(body, str) else body
            digest = hmac.digest(self.secrets["issues"].encode(), body, "sha256").hex()
            request.headers["X-Hub-Signature-256"] = f"sha256={digest}"
            request.headers["X-GitHub-Delivery"] = "delivery-1"
            request.headers["X-GitHub-Event"] = self.who
        else:
            request.headers["Authorization"] = f"Bearer {self.secrets[self.who]}"
        return request


@pytest.mark.slow
def test_every_route_keeps_to_its_description(app, fuzz_benchmark):
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= 15
    statuses = set()
    for operation in operations:

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(
            case=operation.as_strategy(),
            who=st.sampled_from(["issues", "ping", "dpo", "portal", "dsr", "nobody"]),
            stray=st.sampled_from([None, None, "jira", "nobody"]),
        )
        def run(case, who, stray):
            if "source" in (case.path_parameters or {}):
                case.path_parameters["source"] = stray or SOURCES.get(who, "hooks")
            answer = case.call_and_validate(
                auth=Sign(fuzz_benchmark, who), session=None, checks=CHECKS
            )
            statuses.add(answer.status_code)

        run()
    assert {200, 202, 401, 403, 404, 422} <= statuses, "the cases did not get far"


@pytest.mark.slow
def test_the_ledger_holds_what_was_accepted_and_nothing_else(fuzz_benchmark):
    result = fuzz_benchmark.campaign(cases=40 * EXAMPLES, number=1)
    assert result["wrong"] == []
    assert result["server_errors"] == 0
    assert result["in_ledger"] > result["cases"] / 50, "almost nothing was accepted"

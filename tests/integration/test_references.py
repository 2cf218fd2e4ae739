"""A method that learns from retained rows is given them by the flow, less what went before."""

from flows.unlearn import unlearn
from lethe.audit.statement import Statement
from lethe.data.forget_spec import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.request import DeletionRequest
from lethe.settings import load_settings
from model_registry import tags
from model_registry.connection import connect
from model_registry.run import artifact_path
from tasks.one_request import file_request


def forget(label, method):
    spec = ForgetSpec(dataset="data/digits", selection=Selection(classes=(label,)))
    request = DeletionRequest(model="digits@champion", forget=spec)
    return unlearn(file_request(load_settings(), request).id, method=method, promote=True)


def test_what_was_forgotten_before_is_not_among_the_retained_rows(project):
    """SCRUB learns those anew: were class 5 among them, the line would know it again."""
    first, second = forget("5", "pte"), forget("9", "scrub")
    assert (first.successor, second.successor) == ("digits/2", "digits/3")
    path = artifact_path(connect(load_settings()), second.run_id, tags.STATEMENT_FILE)
    said = Statement.model_validate_json(path.read_bytes()).predicate
    assert said.method.name == "scrub"
    (relapse,) = [gate for gate in said.gates if gate.name == "relapse"]
    assert (relapse.passed, relapse.measured) == (True, 0)

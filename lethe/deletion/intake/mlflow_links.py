"""Addresses in the MLflow UI of what a request led to.

MLflow's page of a run can be reached by the run's id alone (`#/runs/ID`), its artifact browser
cannot: that needs the experiment's number, which the ledger does not keep. Report, statement and
certificate are therefore linked by the server's own download address, `get-artifact`.
"""

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from lethe.audit.fields import without_credentials
from lethe.deletion.ledger.types import Facts

# Names of the artifacts, as in `model_registry.tags`, which may not be imported from here.
_REPORT, _STATEMENT = "report.html", "statement.json"


@dataclass(frozen=True)
class Links:
    """Addresses of a request's versions and record; None where there is nothing to link to."""

    parent: str | None = None
    successor: str | None = None
    run: str | None = None
    report: str | None = None
    statement: str | None = None
    certificate: str | None = None


def links(tracking_uri: str | None, facts: Facts, certificate: str | None = None) -> Links:
    """The addresses, if MLflow is a server that browsers reach.

    Args:
        tracking_uri: of MLflow; user, password and query in it are left out.
        facts: of the request.
        certificate: the artifact of its run that is its certificate; None if there is none.
    """
    if not (tracking_uri or "").startswith(("http://", "https://")):
        return Links()
    server = without_credentials(str(tracking_uri)).rstrip("/")
    run = facts.run_id
    return Links(
        parent=_version(server, facts.parent),
        successor=_version(server, facts.successor),
        run=f"{server}/#/runs/{quote(run, safe='')}" if run else None,
        report=_artifact(server, run, _REPORT) if facts.verdict else None,
        statement=_artifact(server, run, _STATEMENT) if facts.statement else None,
        certificate=_artifact(server, run, certificate) if certificate else None,
    )


def _version(server: str, version: str | None) -> str | None:
    if version is None:
        return None
    name, _, number = version.rpartition("/")
    return f"{server}/#/models/{quote(name, safe='')}/versions/{quote(number, safe='')}"


def _artifact(server: str, run: str | None, name: str) -> str | None:
    if run is None:
        return None
    return f"{server}/get-artifact?{urlencode({'path': name, 'run_uuid': run})}"

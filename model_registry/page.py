"""What a person reads on a version's page in the MLflow UI: a short description with links."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lethe.audit.fields import without_credentials
from lethe.settings import Settings
from model_registry import tags
from model_registry.version import VersionRef

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class SuccessorPage:
    """What the page of an unlearned version says.

    `certificate` is the artifact of its request, or the folder of all where there are several.
    """

    successor: VersionRef
    parent: VersionRef
    experiment_id: str
    run_id: str
    forgot: str
    verdict: str
    reason: str
    figures: list[tuple[str, str, str]]
    data: str
    certificate: str

    @property
    def run_link(self) -> str:
        """Address of the run's page."""
        return f"#/experiments/{self.experiment_id}/runs/{self.run_id}"

    def artifact_link(self, path: str) -> str:
        """Address of one of the run's artifacts."""
        return f"{self.run_link}/artifacts/{path}"

    def markdown(self) -> str:
        """The description."""
        # A list: the UI sets tables without any space between their columns.
        rows = "\n".join(f"- {name}: {before} → {after}" for name, before, after in self.figures)
        return (
            f"**Forgot {self.forgot}** of [version {self.parent.number}]({self.parent.link}). "
            f"Verdict: **{self.verdict}**.\n\n{self.reason}\n\n"
            f"Accuracy of version {self.parent.number} → version {self.successor.number} on\n\n"
            f"{rows}\n\n"
            f"[Report]({self.artifact_link(tags.REPORT_FILE)}) · "
            f"[Certificate]({self.artifact_link(self.certificate)}) · "
            f"[Lineage]({self.artifact_link(tags.LINEAGE_FILE)}) · "
            f"[Statement]({self.artifact_link(tags.STATEMENT_FILE)}) · "
            f"[Run]({self.run_link}) · {self.data}"
        )


def write_pages(client: "MlflowClient", page: SuccessorPage) -> None:
    """Describe the successor, and note on its parent that it was superseded.

    What people wrote on the parent's page stays; writing twice changes nothing.
    """
    text = page.markdown()
    client.update_model_version(page.successor.name, str(page.successor.number), text)
    successor = f"[Version {page.successor.number}]({page.successor.link})"
    client.set_tag(page.run_id, "mlflow.note.content", f"Made {successor}. {text}")
    note = (
        f"[Version {page.successor.number}]({page.successor.link}) forgot {page.forgot} of this "
        f"version; this one still remembers it. [Run]({page.run_link}) · "
        f"[Report]({page.artifact_link(tags.REPORT_FILE)})"
    )
    append_note(client, page.parent, note)
    client.set_model_version_tag(
        page.parent.name, str(page.parent.number), tags.SUPERSEDED_BY, str(page.successor)
    )


def ui_link(settings: Settings, link: str) -> str | None:
    """A link within the MLflow UI as a full address; None where MLflow is a local file."""
    server = without_credentials(settings.tracking_uri)
    return f"{server.rstrip('/')}/{link}" if server.startswith(("http://", "https://")) else None


def append_note(client: "MlflowClient", ref: VersionRef, note: str) -> None:
    """Add a paragraph to a version's description unless it is there already."""
    text = client.get_model_version(ref.name, str(ref.number)).description or ""
    if note not in text:
        client.update_model_version(ref.name, str(ref.number), f"{text}\n\n{note}".strip())

"""Results in the Prefect UI, beside the run's progress."""

import re

from prefect.artifacts import create_markdown_artifact

from lethe.settings import Settings
from model_registry.page import ui_link

_UI_LINK = re.compile(r"\[(?P<words>[^\]]+)\]\((?P<address>#[^)]+)\)")


def show_result(settings: Settings, title: str, markdown: str) -> None:
    """Keep a run's result as a Prefect artifact.

    Links within the MLflow UI are made to lead there; where MLflow is a local file and has no
    address, their words stay.
    """

    def lead(match: re.Match[str]) -> str:
        address = ui_link(settings, match["address"])
        return f"[{match['words']}]({address})" if address else match["words"]

    create_markdown_artifact(
        f"# {title}\n\n{_UI_LINK.sub(lead, markdown)}", key="lethe-result", description=title
    )

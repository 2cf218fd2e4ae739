"""`lethe policy`: what the policy file says, and what a ticket would lead to."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Json

if TYPE_CHECKING:
    from lethe.deletion.policy.explain import Explanation
    from lethe.deletion.policy.model import Policy, Source

app = typer.Typer(
    help="Check the policy for deletion requests.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def policy() -> None:
    """Check the policy for deletion requests."""


@app.command()
def check(
    ticket: Annotated[
        Path | None, typer.Argument(help="A ticket, JSON as its source sends it.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="The source it came from; default: the only one there is.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="Policy to check; default: setting policy.file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check the policy and list its sources, or explain what a ticket would lead to.

    Nothing is filed. Labels and ids of the ticket are counted, never shown.

    Example: lethe policy check ticket.json --source privacy-issues
    """
    from datetime import UTC, datetime

    from lethe.deletion.policy.explain import explain
    from lethe.deletion.policy.load import load_policy
    from lethe.errors import PolicyError
    from lethe.settings import load_settings

    settings = load_settings()
    path = settings.policy_file if file is None else file
    if file is not None and not file.is_file():
        raise PolicyError(
            f"There is no policy {file}. Nothing was checked. Name one that is there."
        )
    found, now = load_policy(path, settings), datetime.now(UTC)
    if ticket is None:
        _print_sources(found, path, now=now, as_json=as_json)
        return
    one = found.source(_only_source(found) if source is None else source)
    explanation = explain(found, one.name, _payload(one, ticket), now=now, settings=settings)
    _print_steps(explanation, as_json=as_json)


def _only_source(policy: "Policy") -> str:
    from lethe.errors import PolicyError

    names = [name for name in policy.sources if name != "cli"]
    if len(names) != 1:
        there = ", ".join(names) or "none, for there is no policy file or no source in it"
        raise PolicyError(
            f"It is not said which source the ticket came from. Nothing was checked. Name one with "
            f"--source; there are: {there}."
        )
    return names[0]


def _payload(source: "Source", ticket: Path) -> Mapping[str, Any]:
    """The ticket as the adapter of its source gives it to the policy's expressions."""
    from lethe.deletion.tickets.delivery import Delivery
    from lethe.deletion.tickets.json_body import read_json
    from lethe.deletion.tickets.receive import ADAPTERS
    from lethe.errors import DataError

    try:
        payload = read_json(ticket.read_bytes())
    except OSError as error:
        raise DataError(
            f"The ticket {ticket} cannot be read: {type(error).__name__}. Nothing was checked. "
            f"Name a file that holds the JSON that the source sends."
        ) from None
    # The headers that come with a delivery; a check needs no signature.
    names = ("x-github-delivery", "x-atlassian-webhook-identifier", "webhook-id", "idempotency-key")
    delivery = Delivery({"x-github-event": "issues"} | dict.fromkeys(names, "check"), b"")
    adapter = ADAPTERS.get(source.kind)
    return adapter.read(source, delivery, payload).payload if adapter else payload


def _print_sources(policy: "Policy", path: Path, *, now: Any, as_json: bool) -> None:
    from dataclasses import asdict

    from cli.output import note, out, print_json, print_table
    from lethe.deletion.policy.survey import elsewhere, survey

    lines, more = survey(policy, now), elsewhere(policy, now)
    if as_json:
        facts = {"policy": policy.label, "file": str(path), "exists": path.is_file()}
        print_json({**facts, "sources": [asdict(line) for line in lines], "problems": more})
        return
    columns = ["source", "kind", "models", "data sets", "selects by"]
    rows = [
        [
            line.name,
            line.kind,
            ", ".join(line.models),
            ", ".join(line.datasets),
            ", ".join(line.selections),
        ]
        for line in lines
    ]
    print_table(f"Policy {policy.label}", columns, rows)
    missing = [f"source {line.name}: {problem}" for line in lines for problem in line.problems]
    for problem in [*missing, *more]:
        out.print(f"MISSING {problem}", markup=False)
    if path.is_file():
        out.print(f"{path} is valid.", markup=False)
    else:
        note(f"There is no {path}: only an operator can file requests. See docs/policy.md.")


def _print_steps(explanation: "Explanation", *, as_json: bool) -> None:
    from dataclasses import asdict

    from cli.output import out, print_json, print_table

    if as_json:
        print_json(asdict(explanation))
        return
    rows = [[step.step, step.finding, step.by] for step in explanation.steps]
    print_table(f"Policy {explanation.policy}", ["step", "finding", "by"], rows)
    out.print(f"It would lead to: {explanation.leads_to}", markup=False)

"""`lethe requests`: deletion requests, where each stands, and what people decide about them."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import (
    Classes,
    Dataset,
    Evaluation,
    Ground,
    Json,
    Repository,
    Rev,
    SamplesFile,
    SubjectsFile,
    Ticket,
    Verbose,
    Whole,
)
from cli.purge import purge
from cli.replay import replay
from cli.request_view import facts, print_facts, print_requests, print_step
from lethe.errors import SettingsError

if TYPE_CHECKING:
    from lethe.deletion.ledger.ledger import Ledger
    from lethe.deletion.ledger.types import Entry
    from lethe.deletion.policy.model import Policy

app = typer.Typer(
    help="File, follow and decide deletion requests.", no_args_is_help=True, rich_markup_mode=None
)
Id = Annotated[str, typer.Argument(help="Id of the request, for example req-1f0c7a3b9d2e.")]
Actor = Annotated[
    str | None, typer.Option("--as", help="Who decides, as the policy names them; default: you.")
]
Why = Annotated[str, typer.Option("--reason", help="Why, in a line without anything personal.")]


@app.command()
def submit(
    model: Annotated[str, typer.Argument(help="NAME@ALIAS or NAME/NUMBER.")],
    dataset: Dataset,
    classes: Classes = None,
    subjects_file: SubjectsFile = None,
    samples_file: SamplesFile = None,
    whole: Whole = False,
    evaluation: Evaluation = None,
    repository: Repository = None,
    rev: Rev = "HEAD",
    ground: Ground = "unspecified",
    regulation: Annotated[
        str, typer.Option(help="Rule that gives the deadline: gdpr, ccpa or one of the policy's.")
    ] = "gdpr",
    ticket: Ticket = None,
    as_json: Json = False,
) -> None:
    """File a request; it is carried out with the next `lethe requests process`.

    Example: lethe requests submit digits@champion --dataset data/digits --classes 3
    """
    from cli.output import out, print_json
    from cli.parse import operator, read_selection
    from lethe.deletion.intake.next_step import next_step
    from lethe.deletion.policy.judge import judge
    from lethe.deletion.request import new_request, new_spec
    from lethe.settings import load_settings

    settings = load_settings()
    spec = new_spec(
        repository=repository or settings.data.repository,
        dataset=dataset,
        rev=rev,
        selection=read_selection(classes, subjects_file, samples_file),
        whole=whole,
    )
    request = new_request(
        model=model,
        forget=spec,
        evaluation=evaluation,
        ground=ground,
        regulation=regulation,
        ticket=ticket,
    )
    with _open() as (ledger, policy):
        judgement = judge(policy, request, now=datetime.now(UTC))
        entry = ledger.file(request, judgement, actor=operator())
    if as_json:
        print_json(facts(entry))
        return
    out.print(f"{entry.id} is {entry.state}: {entry.reason}", soft_wrap=True, markup=False)
    print_step(next_step(entry, policy.approval.approvers))


@app.command("list")
def list_requests(
    state: Annotated[list[str] | None, typer.Option(help="Only in this state; repeatable.")] = None,
    model: Annotated[str | None, typer.Option(help="Only for this model.")] = None,
    source: Annotated[str | None, typer.Option(help="Only from this source.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most this many.")] = 50,
    as_json: Json = False,
) -> None:
    """List requests, the newest first, with the days left to each deadline.

    Example: lethe requests list --state awaiting_approval
    """
    from cli.output import note, print_json

    with _open() as (ledger, _):
        found = ledger.find(states=_states(state), model=model, source=source, limit=limit)
        counts = {str(name): count for name, count in ledger.counts().items() if count}
    if as_json:
        print_json([facts(entry) for entry in found])
        return
    if not found:
        note("No such request. File one with `lethe requests submit`.")
        return
    print_requests(found, datetime.now(UTC))
    if len(found) == limit:
        note(f"These are the newest {limit}; show more with --limit.")
    note(f"In the ledger: {', '.join(f'{count} {name}' for name, count in counts.items())}")


@app.command()
def show(request_id: Id, as_json: Json = False) -> None:
    """Show one request: what is known of it, its history, and what to do next.

    Example: lethe requests show req-1f0c7a3b9d2e
    """
    from cli.output import out, print_json, print_table
    from lethe.deletion.intake.next_step import next_step

    with _open() as (ledger, policy):
        entry = ledger.get(request_id)
    if as_json:
        print_json(facts(entry, history=True))
        return
    print_facts(entry)
    out.print()
    rows = [
        [f"{move.at:%Y-%m-%d %H:%M:%S}", str(move.after), move.actor, move.reason or ""]
        for move in entry.history
    ]
    print_table("History (UTC)", ["time", "state", "by", "why"], rows)
    print_step(next_step(entry, policy.approval.approvers))


@app.command()
def approve(request_id: Id, actor: Actor = None) -> None:
    """Approve a request that waits for it.

    Example: lethe requests approve req-1f0c7a3b9d2e --as dpo
    """
    from cli.parse import operator
    from lethe.errors import PolicyError

    with _open() as (ledger, policy):
        who = actor or operator()
        approvers = policy.approval.approvers
        if approvers and who not in approvers:
            raise PolicyError(
                f"{who} may not approve. Nothing was changed. The policy names: "
                f"{', '.join(approvers)}. Say who decides with --as."
            )
        _tell(policy, ledger.approve(request_id, actor=who))


@app.command()
def reject(request_id: Id, reason: Why, actor: Actor = None) -> None:
    """Turn a request down; the ticket is told.

    Example: lethe requests reject req-1f0c7a3b9d2e --reason "Identity was not shown"
    """
    with _open() as (ledger, policy):
        _tell(policy, ledger.reject(request_id, actor=_who(actor), reason=reason))


@app.command()
def hold(request_id: Id, reason: Why, actor: Actor = None) -> None:
    """Stop a request before it is carried out, for a legal claim for example.

    Example: lethe requests hold req-1f0c7a3b9d2e --reason "Litigation 2026-4"
    """
    with _open() as (ledger, policy):
        _tell(policy, ledger.hold(request_id, actor=_who(actor), reason=reason))


@app.command()
def release(request_id: Id, actor: Actor = None) -> None:
    """Let a held request go on from where the hold found it.

    Example: lethe requests release req-1f0c7a3b9d2e
    """
    with _open() as (ledger, policy):
        _tell(policy, ledger.release(request_id, actor=_who(actor)))


@app.command()
def cancel(
    request_id: Id,
    reason: Annotated[
        str | None, typer.Option(help="Why, in a line without anything personal.")
    ] = None,
    actor: Actor = None,
) -> None:
    """Take a request back before it is carried out.

    Example: lethe requests cancel req-1f0c7a3b9d2e
    """
    with _open() as (ledger, policy):
        _tell(policy, ledger.cancel(request_id, actor=_who(actor), reason=reason))


@app.command()
def retry(request_id: Id, actor: Actor = None) -> None:
    """Have a refused or failed request tried again with the next run.

    Example: lethe requests retry req-1f0c7a3b9d2e
    """
    with _open() as (ledger, policy):
        _tell(policy, ledger.retry(request_id, actor=_who(actor)))


@app.command()
def extend(
    request_id: Id,
    until: Annotated[datetime, typer.Argument(formats=["%Y-%m-%d"], help="New deadline, UTC.")],
    reason: Why,
    actor: Actor = None,
) -> None:
    """Move a deadline, once and as far as the regulation allows.

    Example: lethe requests extend req-1f0c7a3b9d2e 2027-02-20 --reason "Many requests at once"
    """
    from cli.output import out

    with _open() as (ledger, _):
        moment = until.replace(tzinfo=UTC)
        entry = ledger.extend(request_id, moment, actor=_who(actor), reason=reason)
    out.print(f"{entry.id} is {entry.state}, due {entry.due_at:%Y-%m-%d}")


@app.command()
def letters(
    again: Annotated[
        str | None, typer.Option(help="Key of a letter that was given up, to be sent again.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what is owed to tickets and others, and what was given up.

    Example: lethe requests letters
    """
    from cli.output import note, print_json, print_table

    with _open() as (ledger, _):
        if again is not None:
            ledger.revive(again)
        owed, dead = ledger.letters_owed(), ledger.letters_dead()
    if as_json:
        print_json({"owed": owed, "given_up": [list(letter) for letter in dead]})
        return
    note(f"Owed: {', '.join(f'{n} {kind}' for kind, n in owed.items() if n) or 'nothing'}")
    if any(owed.values()):
        note("`lethe intake` sends them while it runs; so does `lethe requests process`, but not")
        note("triggers, which start a run of Prefect for requests that are due at once.")
    if dead:
        rows = [
            [key, kind, of or "", error or "", f"{at:%Y-%m-%d}"]
            for kind, key, of, error, at in dead
        ]
        print_table("Given up", ["key", "kind", "request", "last error", "since"], rows)
        note("Send one again with `lethe requests letters --again KEY`.")


@app.command()
def process(
    model: Annotated[
        list[str] | None, typer.Option(help="Only requests for this model; repeatable.")
    ] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Carry out all requests that are due, here and now, and answer them.

    Exits with 3 when a batch was refused or failed; its requests say why.

    Example: lethe requests process
    """
    from cli.environment import prepare_environment
    from cli.output import note, out, print_json
    from lethe.errors import RefusedError
    from lethe.settings import load_settings

    prepare_environment(load_settings(), verbose=verbose)
    from flows.deletion_requests import deletion_requests

    result = deletion_requests(models=model)
    if as_json:
        print_json(result.model_dump(mode="json"))
    else:
        waiting = {name: n for name, n in result.weighed.items() if n and name != "ready"}
        for name, number in waiting.items():
            note(f"{number} {name.replace('_', ' ')}")
        for batch in result.batches:
            many = len(batch.requests)
            what = f"{many} request{'s' if many > 1 else ''} for {batch.model}"
            end = batch.error or (
                f"{batch.successor}: {batch.verdict}" if batch.successor else "forgotten before"
            )
            out.print(f"{what}: {end}", soft_wrap=True)
        if not result.batches:
            out.print("Nothing was due.")
        note(f"{result.sent} answers sent, {result.unsent} still owed")
    failed = [batch for batch in result.batches if batch.error]
    if failed:
        raise RefusedError(
            f"{len(failed)} of {len(result.batches)} batches were not carried out whole. What they "
            f"asked for and why: `lethe requests list --state refused --state failed`."
        )


app.command()(purge)
app.command()(replay)


def _states(names: list[str] | None) -> list[Any] | None:
    from lethe.deletion.states import State

    if not names:
        return None
    try:
        return [State(name) for name in names]
    except ValueError:
        raise SettingsError(
            f"There is no such state. Nothing was listed. States are: {', '.join(State)}."
        ) from None


def _who(actor: str | None) -> str:
    from cli.parse import operator

    return actor or operator()


def _tell(policy: "Policy", entry: "Entry") -> None:
    from cli.output import out
    from lethe.deletion.intake.next_step import next_step

    out.print(f"{entry.id} is {entry.state}")
    print_step(next_step(entry, policy.approval.approvers))


def _open() -> Any:
    """The ledger and the policy, for the length of a `with` block."""
    from contextlib import contextmanager

    from lethe.deletion.answers.announce import announcer
    from lethe.deletion.ledger.ledger import open_ledger
    from lethe.deletion.policy.load import load_policy
    from lethe.keys import record_key
    from lethe.logs import configure
    from lethe.settings import load_settings

    @contextmanager
    def opened() -> Any:
        settings = load_settings()
        configure(settings)
        policy = load_policy(settings.policy_file, settings)
        ledger: Ledger
        with open_ledger(
            settings.ledger_url,
            key=record_key(settings.record_key_file),
            announce=announcer(policy, settings),
        ) as ledger:
            yield ledger, policy

    return opened()

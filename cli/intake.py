"""`lethe intake`: the service that takes tickets in."""

from typing import Annotated

import typer


def intake(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; default: intake.host.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port; default: intake.port; 0 takes a free one."),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Log each answer, without addresses and queries.")
    ] = False,
) -> None:
    """Take in tickets, keep them in the ledger and answer them; stop it with Ctrl-C.

    Says what it serves and which secrets are not set. Refuses to start when the policy is wrong.

    Example: lethe intake --port 8020
    """
    import logging

    from cli.environment import prepare_environment
    from cli.output import note
    from lethe.deletion.intake.serve import serve
    from lethe.logs import configure
    from lethe.settings import load_settings

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # What others log of an answer or a delivery holds addresses; Alembic tells what is normal.
    for name in ("httpx", "httpcore", "uvicorn.access", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("lethe.intake.access").setLevel(logging.INFO if verbose else logging.WARNING)
    settings = load_settings()
    configure(settings)
    changed = {k: v for k, v in (("host", host), ("port", port)) if v is not None}
    listening = settings.intake.model_copy(update=changed)
    settings = settings.model_copy(update={"intake": listening})
    prepare_environment(settings)
    from flows.trigger import trigger_sender

    serve(settings, senders={"trigger": trigger_sender(settings)}, tell=note)

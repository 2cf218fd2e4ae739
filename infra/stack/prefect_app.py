"""Prefect's server, web pages included, for those who have its credentials.

    uvicorn --factory infra.stack.prefect_app:create

What `prefect server start` runs, behind `model_registry.guard`. The credentials are Prefect's own,
`PREFECT_SERVER_API_AUTH_STRING`; it does not start without them. Prefect asks for them inside its
WebSockets itself.
"""

import hmac

from infra.stack.errors import StackError
from model_registry.guard import Guard


def create() -> Guard:
    """The application, for uvicorn."""
    from prefect.server.api.server import create_app
    from prefect.settings import PREFECT_SERVER_API_AUTH_STRING

    word = PREFECT_SERVER_API_AUTH_STRING.value()
    if word is None:
        raise StackError("PREFECT_SERVER_API_AUTH_STRING is not set. The server was not started.")
    right = word.get_secret_value() if hasattr(word, "get_secret_value") else str(word)

    async def check(user: str, shown: str) -> bool:
        return hmac.compare_digest(f"{user}:{shown}".encode(), right.encode())

    return Guard(
        create_app(final=True),
        realm="prefect",
        open_paths={"/api/health", "/api/ready"},
        check=check,
        sockets=True,
    )

"""`lethe ui`: the MLflow UI over the store the settings name."""

from typing import Annotated

import typer


def ui(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port; default: mlflow.ui_port.")
    ] = None,
) -> None:
    """Open the MLflow UI on this machine; stop it with Ctrl-C.

    Example: lethe ui --port 5001
    """
    import os
    import sys

    from cli.environment import prepare_environment
    from cli.output import note
    from lethe.audit.fields import without_credentials
    from lethe.settings import load_settings
    from model_registry.connection import connect, experiment_id

    settings = load_settings()
    prepare_environment(settings)
    if settings.tracking_uri.startswith(("http://", "https://")):
        address = without_credentials(settings.tracking_uri)
        note(f"The registry is a server of its own: open {address} in a browser.")
        return
    experiment_id(connect(settings), settings)
    number = port or settings.mlflow.ui_port
    note(f"MLflow UI: http://127.0.0.1:{number}/#/models (Ctrl-C stops it)")
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(number)]
    # MLflow takes this process over: it gets the signals, and its exit code is ours. The store's
    # address goes by the environment, since it may hold a password.
    environment = {**os.environ, "MLFLOW_BACKEND_STORE_URI": settings.tracking_uri}
    os.execve(sys.executable, command, environment)  # noqa: S606 (no shell is wanted)

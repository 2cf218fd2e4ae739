"""What must be set before MLflow, Prefect or DVC are imported."""

import os
import warnings
from pathlib import Path

from lethe.logs import configure
from lethe.settings import Settings


def prepare_environment(settings: Settings, *, verbose: bool = False) -> None:
    """Keep Prefect's state beside ours, switch telemetry off and its routine log lines down.

    What the user has set already stays as it is.
    """
    defaults = {
        "PREFECT_HOME": str(settings.state / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "INFO" if verbose else "CRITICAL",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING" if verbose else "CRITICAL",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
        "PREFECT_CLI_PROMPT": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DVC_NO_ANALYTICS": "1",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    # Prefect's server does not start without the folder of its database.
    Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
    configure(settings)
    if not verbose:
        # Deprecations inside other people's packages are for us to read, not for users.
        warnings.simplefilter("ignore")

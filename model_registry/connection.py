"""One way to reach MLflow: the store the settings name, the experiment that holds Lethe's runs."""

import logging
import os
from functools import lru_cache
from typing import TYPE_CHECKING

from lethe.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient


def connect(settings: Settings) -> "MlflowClient":
    """A client of the registry; MLflow's own calls in this process go to the same store.

    Pickled models are refused by MLflow itself too unless `models.allow_pickle` is set.
    """
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = str(settings.models.allow_pickle).lower()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # A bar for each of many small files tells nobody anything.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    # Its migrations and "Created version" lines drown what Lethe says itself.
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    settings.state.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(settings.tracking_uri)
    return _client(settings.tracking_uri)


def experiment_id(client: "MlflowClient", settings: Settings) -> str:
    """Id of the experiment that holds Lethe's runs; made on first use.

    With the embedded store the artifacts lie beside it under the state folder; a server decides
    for itself.
    """
    name = settings.mlflow.experiment
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    embedded = settings.mlflow.tracking_uri is None
    location = (settings.state / "artifacts").as_uri() if embedded else None
    from mlflow.exceptions import MlflowException

    try:
        # The kind makes the UI show runs and metrics rather than prompts and traces.
        kind = {"mlflow.experimentKind": "custom_model_development"}
        return str(client.create_experiment(name, artifact_location=location, tags=kind))
    except MlflowException:
        # Somebody else made it in the meantime.
        again = client.get_experiment_by_name(name)
        if again is None:
            raise
        return str(again.experiment_id)


@lru_cache
def _client(tracking_uri: str) -> "MlflowClient":
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri)

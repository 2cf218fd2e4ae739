"""The MLflow run of one unlearning: opened, resumed after a kill, filled, closed."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from lethe.deletion.ledger.errors import LeaseLostError
from lethe.errors import RefusedError
from lethe.settings import Settings
from model_registry import tags
from model_registry.connection import experiment_id

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Tags that must be equal for a run to be taken up again.
DECIDING = (tags.REQUEST, tags.PARENT, tags.METHOD_KEY, tags.FORGET_DIGEST)


@contextmanager
def unlearning_run(
    client: "MlflowClient", settings: Settings, *, name: str, run_tags: Mapping[str, str]
) -> Iterator[str]:
    """Give the id of the run that records a request, and close it when the block ends.

    A run of the same request, parent and method that was killed or failed before its statement is
    taken up again, so what it registered is found instead of being registered twice. Its status
    says nothing: a process that was killed could not set it. An exception marks it failed, except
    a lost lease: then the run is another process's, or that process opened its own at the same
    time, and this one is deleted.
    """
    experiment = experiment_id(client, settings)
    same = " and ".join(f"tags.`{key}` = '{run_tags[key]}'" for key in DECIDING)
    known = client.search_runs([experiment], same)
    unfinished = [run for run in known if tags.STATEMENT not in run.data.tags]
    if unfinished:
        run_id = str(unfinished[0].info.run_id)
        client.update_run(run_id, status="RUNNING")
        for key, value in run_tags.items():
            client.set_tag(run_id, key, value)
    else:
        run = client.create_run(experiment, run_name=name, tags=dict(run_tags))
        run_id = str(run.info.run_id)
    try:
        yield run_id
    except RefusedError:
        client.set_terminated(run_id, "FINISHED")  # a refusal is a result, and it is recorded
        raise
    except LeaseLostError:
        now = client.search_runs([experiment], same)
        if not unfinished and len(now) > len(known) + 1:
            client.delete_run(run_id)
        elif any(run.info.run_id == run_id and tags.STATEMENT in run.data.tags for run in now):
            close_finished_run(client, run_id)  # we may have set it back to running
        raise
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")


def close_finished_run(
    client: "MlflowClient", run_id: str, closing: Mapping[str, str] | None = None
) -> None:
    """Give a run whose statement stands what a kill right after it left out: tags, and its end.

    Args:
        client: the registry.
        run_id: the run.
        closing: tags that it must have.
    """
    run = client.get_run(run_id)
    for key, value in (closing or {}).items():
        if run.data.tags.get(key) != value:
            client.set_tag(run_id, key, value)
    if run.info.status == "RUNNING":
        client.set_terminated(run_id, "FINISHED")


def log_params(client: "MlflowClient", run_id: str, params: Mapping[str, Any]) -> None:
    """Log settings; those already logged by an earlier attempt stay."""
    from mlflow.entities import Param

    known = client.get_run(run_id).data.params
    fresh = [Param(key, str(value)) for key, value in params.items() if key not in known]
    client.log_batch(run_id, params=fresh)


def log_metrics(client: "MlflowClient", run_id: str, values: Mapping[str, float]) -> None:
    """Log single figures."""
    _log(client, run_id, {key: [value] for key, value in values.items()}, first_step=0)


def log_curves(client: "MlflowClient", run_id: str, curves: Mapping[str, list[float]]) -> None:
    """Log curves, one value per epoch, counted from 1; one that is there already stays."""
    known = client.get_run(run_id).data.metrics
    fresh = {name: values for name, values in curves.items() if name not in known}
    _log(client, run_id, fresh, first_step=1)


def log_folder(client: "MlflowClient", run_id: str, folder: Path) -> None:
    """Log everything in a folder as the run's artifacts."""
    client.log_artifacts(run_id, str(folder))


def artifact_path(client: "MlflowClient", run_id: str, path: str = "") -> Path:
    """One of a run's artifacts, or all: the file itself where the store is local, else a copy."""
    import mlflow

    uri = urlsplit(client.get_run(run_id).info.artifact_uri)
    if uri.scheme in {"", "file"}:
        return Path(url2pathname(uri.path)) / path
    return Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=path))


def find_artifact(client: "MlflowClient", run_id: str, path: str) -> Path | None:
    """One of a run's artifacts at its top, as `artifact_path` gives it; None if it is not there."""
    names = {artifact.path for artifact in client.list_artifacts(run_id)}
    return artifact_path(client, run_id, path) if path in names else None


def _log(
    client: "MlflowClient", run_id: str, curves: Mapping[str, list[float]], *, first_step: int
) -> None:

    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    client.log_batch(
        run_id,
        metrics=[
            Metric(key, float(value), now, step)
            for key, values in curves.items()
            for step, value in enumerate(values, start=first_step)
        ],
    )

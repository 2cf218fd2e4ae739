"""Register a network as a new version, logged the way its parent was."""

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch
from torch import nn

from lethe.data.training_card import FILE_NAME as CARD_FILE
from lethe.data.training_card import TrainingCard
from lethe.models.weights import FILE_NAME, file_digest, save_weights
from model_registry import tags
from model_registry.pull import LetheMetadata, Packaging, served_file
from model_registry.version import MISSING, VersionRef

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL_NAME = "model"


def register_version(
    client: "MlflowClient",
    *,
    name: str,
    run_id: str,
    network: nn.Module,
    facts: LetheMetadata,
    packaging: Packaging,
    version_tags: Mapping[str, str],
    card: TrainingCard | None = None,
    still_ours: Callable[[], object] = lambda: None,
) -> VersionRef:
    """Log the network to a run and register it as the next version of the named model.

    A run registers the same weights once: asked again, it returns the version it has, so a retry
    after a lost answer does nothing twice. Of two processes that do so at once, which only happens
    when one slept through its lease, the later one takes its version back.

    Args:
        client: the registry.
        name: the registered model.
        run_id: the run that made the network.
        network: on the CPU and in eval mode.
        facts: how to rebuild it, with the SHA-256 of its weights (`weights_digest`).
        packaging: signature, input example, format and requirements to log it with.
        version_tags: tags of the new version, beside the digest of its weights.
        card: its training card, stored beside the weights.
        still_ours: raises if another process has taken the work over; asked before registering.
    """
    if (known := _registered(client, name, run_id, facts)) is not None:
        return known
    import mlflow
    import mlflow.pytorch

    with TemporaryDirectory(prefix="lethe-register-") as folder:
        weights = Path(folder) / FILE_NAME
        save_weights(network, weights)
        files, card_tag = [str(weights)], {}
        if card is not None:
            path = Path(folder) / CARD_FILE
            card.save(path)
            files.append(str(path))
            card_tag = {tags.CARD: file_digest(path)}
        with mlflow.start_run(run_id=run_id):
            logged = mlflow.pytorch.log_model(
                network,
                name=MODEL_NAME,
                signature=packaging.signature,
                input_example=packaging.input_example,
                serialization_format=packaging.serialization_format,
                pip_requirements=packaging.requirements,
                code_paths=packaging.code_paths or None,
                extra_files=files,
                metadata={
                    **packaging.metadata,
                    tags.METADATA: facts.model_dump(mode="json", exclude_none=True),
                },
            )
        still_ours()
        client.update_run(run_id, status="RUNNING")  # MLflow closed it; the caller has not
    if not _exists(client, name):
        client.create_registered_model(name)
    record = client.create_model_version(
        name,
        source=logged.model_uri,
        run_id=run_id,
        tags={
            **version_tags,
            **card_tag,
            tags.WEIGHTS: facts.weights_sha256,
            tags.SERVED: _served_digest(logged.model_uri),
        },
        model_id=logged.model_id,
    )
    ours = VersionRef(name, int(record.version))
    first = _registered(client, name, run_id, facts) or ours
    if first != ours:
        client.delete_model_version(name, str(ours.number))
    return first


def weights_digest(network: nn.Module) -> str:
    """SHA-256 of the network's weights as the safetensors file that registration writes."""
    with TemporaryDirectory(prefix="lethe-digest-") as folder:
        return save_weights(network, Path(folder) / FILE_NAME)


def default_packaging(network: nn.Module, example: torch.Tensor) -> Packaging:
    """How Lethe logs a network of its own: pt2, tensors in and out, the batch size left open.

    Args:
        network: in eval mode.
        example: two or more inputs, (B, *shape) float32; one alone would fix the batch size.
    """
    from mlflow.models import infer_signature

    with torch.no_grad():
        outputs = network(example)
    return Packaging(
        signature=infer_signature(example.numpy(), outputs.numpy()),
        input_example=example.numpy(),
        serialization_format="pt2",
        requirements=[f"torch=={torch.__version__.partition('+')[0]}", _numpy_requirement()],
    )


def _registered(
    client: "MlflowClient", name: str, run_id: str, facts: LetheMetadata
) -> VersionRef | None:
    """The first version that a run registered with these weights."""
    found = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    same = [int(v.version) for v in found if v.tags.get(tags.WEIGHTS) == facts.weights_sha256]
    return VersionRef(name, min(same)) if same else None


def _served_digest(model_uri: str) -> str:
    """SHA-256 of the model file as the artifact store hands it out."""
    import mlflow

    with TemporaryDirectory(prefix="lethe-served-") as folder:
        files = mlflow.artifacts.download_artifacts(model_uri, dst_path=folder)
        return file_digest(served_file(Path(files)))


def _numpy_requirement() -> str:
    import numpy as np

    return f"numpy=={np.__version__}"


def _exists(client: "MlflowClient", name: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code not in MISSING:
            raise
        return False
    return True

"""Adopt a version logged by others: pair its weights with the code that makes the network."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch
from torch import nn

from lethe.errors import ModelError
from lethe.models.architecture import Architecture, build
from lethe.settings import Settings
from model_registry import tags
from model_registry.connection import experiment_id
from model_registry.pull import (
    LetheMetadata,
    Packaging,
    download,
    load_module,
    pickle_refused,
    read_packaging,
)
from model_registry.register import register_version, weights_digest
from model_registry.version import VersionRef, find_version

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Largest difference of any logit between the version as logged and as rebuilt.
TOLERANCE = 1e-4


def adopt_version(
    client: "MlflowClient",
    reference: str,
    architecture: Architecture,
    classes: Sequence[str],
    settings: Settings,
) -> VersionRef:
    """Register an equivalent of a version, from which Lethe can rebuild the network.

    The alias it was asked for by, if any, moves to the new version, since both answer alike.

    Raises:
        ModelError: if the version is a pickle and pickles are not allowed, the weights do not fit
            the network, or the rebuilt network answers otherwise than the version does.
    """
    ref, record = find_version(client, reference)
    with TemporaryDirectory(prefix="lethe-adopt-") as folder:
        files = download(ref, Path(folder))
        packaging = read_packaging(files)
        if packaging.serialization_format == "pickle" and not settings.models.allow_pickle:
            raise pickle_refused(ref)
        if packaging.code_paths and not settings.models.allow_pickle:
            raise ModelError(
                f"{ref} brings code of its own, which loading it would put on the import path, "
                f"ahead of the modules that you allowed. Nothing was loaded or registered. If you "
                f"trust who logged it, set LETHE_MODELS__ALLOW_PICKLE=true; else log it again "
                f"without code_paths."
            )
        # The network first: loading a pickle puts the version's own code on the import path, and
        # that must not stand in for the module that was allowed.
        network = build(architecture, settings.models.factories).eval()
        original = load_module(files)
        _copy_weights(ref, original, network, architecture)
        outputs = _check_same_answers(ref, original, network, packaging)
        _check_classes(classes, outputs)
        run = client.create_run(
            experiment_id(client, settings), run_name=f"adopt {ref}", tags={tags.ORIGIN: "adopted"}
        )
        facts = LetheMetadata(
            architecture=architecture,
            classes=tuple(classes),
            weights_sha256=weights_digest(network),
        )
        adopted = register_version(
            client,
            name=ref.name,
            run_id=run.info.run_id,
            network=network,
            facts=facts,
            packaging=packaging,
            version_tags={tags.ORIGIN: "adopted", tags.PARENT: str(ref)},
        )
    client.set_terminated(run.info.run_id)
    client.update_model_version(
        ref.name,
        str(adopted.number),
        f"The same network as [version {ref.number}]({ref.link}), adopted so that it can be "
        f"edited. It is built by `{architecture.factory}`; its answers were compared with those of "
        f"version {ref.number}.\n\n{record.description or ''}".strip(),
    )
    if ref.alias:
        client.set_registered_model_alias(ref.name, ref.alias, str(adopted.number))
    return adopted


def _copy_weights(
    ref: VersionRef, original: nn.Module, network: nn.Module, architecture: Architecture
) -> None:
    try:
        network.load_state_dict(original.state_dict(), strict=True)
    except RuntimeError as error:
        raise ModelError(
            f"The weights of {ref} do not fit {architecture.factory!r}: "
            f"{' '.join(str(error).split())} Nothing was registered. Check the factory and its "
            f"keyword arguments (--kwargs)."
        ) from error


def _check_same_answers(
    ref: VersionRef, original: nn.Module, network: nn.Module, packaging: Packaging
) -> torch.Tensor:
    """Logits of the rebuilt network on the version's input example, equal to the version's own."""
    if packaging.input_example is None:
        raise ModelError(
            f"{ref} has no input example, so it cannot be shown that the rebuilt network is the "
            f"same. Nothing was registered. Log the version again with input_example=…."
        )
    example = torch.as_tensor(packaging.input_example)
    with torch.no_grad():
        expected, found = original(example), network(example)
    worst = float((expected - found).abs().max()) if expected.shape == found.shape else None
    if worst is None or not worst <= TOLERANCE:
        raise ModelError(
            f"The rebuilt network does not answer as {ref} does: its logits differ by "
            f"{'their shape' if worst is None else f'{worst:.2g}'}. Nothing was registered. Check "
            f"the factory and its keyword arguments (--kwargs)."
        )
    return torch.as_tensor(found)


def _check_classes(classes: Sequence[str], outputs: torch.Tensor) -> None:
    if outputs.ndim != 2 or (classes and len(classes) != outputs.shape[1]):
        raise ModelError(
            f"The network answers with shape {tuple(outputs.shape)}, which does not match "
            f"{len(classes)} class names. Nothing was registered. Name one class per logit, in "
            f"order, with --classes."
        )

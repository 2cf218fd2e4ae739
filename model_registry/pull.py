"""Pull a version: download it, check it, and rebuild the network that can be trained."""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from lethe.data.training_card import TrainingCard
from lethe.errors import ModelError, RegistryError
from lethe.models.architecture import Architecture, build
from lethe.models.weights import FILE_NAME, file_digest, load_weights, save_weights
from lethe.settings import Settings
from model_registry import tags
from model_registry.card import CardSource, find_card
from model_registry.version import VersionRef, find_version

if TYPE_CHECKING:
    from mlflow import MlflowClient

PT2_FILE = "model.pt2"
PICKLE_FILE = "model.pth"


class LetheMetadata(BaseModel):
    """What Lethe keeps in a logged model's metadata to rebuild it; see docs/lineage.md."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    architecture: Architecture | None = Field(
        default=None, description="how to build the network; None for a pickled eager module"
    )
    classes: tuple[str, ...] = Field(
        default=(), description="label of each logit, in order; empty: the data set's order"
    )
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    training: Mapping[str, Any] | None = Field(
        default=None, description="settings the first version was trained with"
    )


@dataclass(frozen=True)
class Packaging:
    """How a version is logged, so that its successor can be logged the same way."""

    signature: Any
    input_example: Any
    serialization_format: str
    requirements: list[str]
    code_paths: list[str] = field(default_factory=list)
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PulledVersion:
    """A version ready to be edited: the network in eval mode on the CPU, and how it was logged."""

    ref: VersionRef
    network: nn.Module
    facts: LetheMetadata
    packaging: Packaging
    model_id: str | None
    run_id: str | None
    tags: Mapping[str, str]
    card_source: CardSource | None = None

    def card(self) -> TrainingCard | None:
        """Its training card, downloaded now; None if it has none.

        A successor's describes the weights of the version that it came from: compare
        `card.facts.weights_sha256` with `facts.weights_sha256`.

        Raises:
            RegistryError: if the artifact store does not hand it out.
            ModelError: if it is not the one that was registered.
        """
        return None if self.card_source is None else self.card_source.load()


def pull_version(client: "MlflowClient", reference: str, settings: Settings) -> PulledVersion:
    """Download, check and rebuild a version.

    A version that Lethe registered or adopted names its architecture. Another one works when it is
    a pickled eager module and pickles are allowed.

    Raises:
        ModelError: if there is no such version, it does not say how to be rebuilt, its weights do
            not match their record, or its factory may not be imported.
        RegistryError: if the artifact store does not answer.
    """
    ref, record = find_version(client, reference)
    with TemporaryDirectory(prefix="lethe-pull-") as folder:
        files = download(ref, Path(folder))
        _check_served(ref, files, record.tags.get(tags.SERVED))
        packaging = read_packaging(files)
        facts = read_facts(ref, files)
        if packaging.serialization_format == "pickle" and not settings.models.allow_pickle:
            raise pickle_refused(ref)
        if facts is not None and facts.architecture is not None:
            recorded = record.tags.get(tags.WEIGHTS, facts.weights_sha256)
            network = build(facts.architecture, settings.models.factories)
            load_weights(network, files / "extra_files" / FILE_NAME, expected=recorded)
        elif packaging.serialization_format == "pickle":
            network = load_module(files)
            facts = facts or LetheMetadata(
                weights_sha256=save_weights(network, Path(folder) / FILE_NAME)
            )
        else:
            raise ModelError(
                f"{ref} does not say how to rebuild its network, so it cannot be edited. Nothing "
                f"was changed. Pair it with the code that makes the network: "
                f"`lethe model adopt {ref} --factory PACKAGE.MODULE:CALLABLE`."
            )
    return PulledVersion(
        ref=ref,
        network=network.eval(),
        facts=facts,
        packaging=packaging,
        model_id=model_id_of(record),
        run_id=record.run_id or None,
        tags=dict(record.tags),
        card_source=find_card(client, ref, record),
    )


def download(ref: VersionRef, folder: Path) -> Path:
    """All files of a version, under the given folder.

    Raises:
        RegistryError: if the artifact store does not hand them out.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        return Path(mlflow.artifacts.download_artifacts(ref.uri, dst_path=str(folder)))
    except (MlflowException, OSError) as error:
        # Not the model's fault: the same call may work later.
        raise RegistryError(
            f"The files of {ref} cannot be downloaded ({type(error).__name__}). Nothing was "
            f"changed. Check that the artifact store is reachable, then try again."
        ) from error


def served_file(files: Path) -> Path:
    """The one file of a downloaded version that holds the model that MLflow serves."""
    return next(path for name in (PT2_FILE, PICKLE_FILE) for path in files.rglob(name))


def _check_served(ref: VersionRef, files: Path, recorded: str | None) -> None:
    """Refuse a version whose served file is not the one that was registered."""
    if recorded is None:
        return
    if not hmac.compare_digest(file_digest(served_file(files)), recorded):
        raise ModelError(
            f"The file that MLflow serves for {ref} is not the one that was registered. Nothing "
            f"was loaded or changed. Restore the artifact, or register the version again."
        )


def read_facts(ref: VersionRef, files: Path) -> LetheMetadata | None:
    """What a downloaded version says about being rebuilt; None when it says nothing.

    Raises:
        ModelError: if it says something that Lethe does not understand.
    """
    from mlflow.models import Model

    metadata = (Model.load(str(files)).metadata or {}).get(tags.METADATA)
    if metadata is None:
        return None
    try:
        return LetheMetadata.model_validate_json(json.dumps(metadata))
    except ValidationError as error:
        raise ModelError(
            f"The metadata of {ref} is not what Lethe wrote: {error}. Nothing was changed. "
            f"Adopt the version anew with `lethe model adopt {ref} --factory MODULE:CALLABLE`."
        ) from error


def load_module(files: Path) -> nn.Module:
    """The module as MLflow loads it: eager from a pickle, a fixed graph from pt2.

    MLflow checks that a pt2 archive holds no pickled code, unless pickles are allowed. It also puts
    a `code/` folder of the artifact on the import path: call this for no version that has one,
    unless its code is allowed to run.
    """
    import mlflow.pytorch

    module: nn.Module = mlflow.pytorch.load_model(str(files))
    return module


def read_packaging(files: Path) -> Packaging:
    """How a downloaded version is logged."""
    from mlflow.models import Model

    model = Model.load(str(files))
    requirements = files / "requirements.txt"
    return Packaging(
        signature=model.signature,
        input_example=model.load_input_example(str(files)),
        serialization_format="pt2" if list(files.rglob(PT2_FILE)) else "pickle",
        requirements=requirements.read_text().splitlines() if requirements.is_file() else [],
        code_paths=sorted(map(str, (files / "code").glob("*"))),
        metadata={k: v for k, v in (model.metadata or {}).items() if k != tags.METADATA},
    )


def pickle_refused(ref: VersionRef) -> ModelError:
    """The error for a version that could only be loaded by running code inside it."""
    return ModelError(
        f"{ref} is stored as a pickle, and loading one runs whatever code is in it. Nothing was "
        f"loaded or changed. If you trust who logged it, allow it with "
        f"LETHE_MODELS__ALLOW_PICKLE=true and try again."
    )


def model_id_of(record: Any) -> str | None:
    """Id of the logged model behind a version; None for versions registered from elsewhere."""
    if record.model_id:
        return str(record.model_id)
    prefix, _, model_id = str(record.source).partition("models:/")
    return model_id if not prefix and model_id.startswith("m-") else None

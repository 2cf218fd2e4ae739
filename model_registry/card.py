"""The training card of a version: beside its weights, or added to its run later.

What Lethe registers with a card has it in `extra_files`. A version's files never change, so a card
made later for a version without one is an artifact of the version's run, named by its own SHA-256.
Either way the tag `lethe.card_sha256` says which card it is; without the tag there is none.
"""

import hmac
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lethe.data.training_card import FILE_NAME, TrainingCard
from lethe.errors import ModelError, RegistryError
from lethe.models.weights import file_digest
from model_registry import tags
from model_registry.version import MISSING, VersionRef

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXTRA_FILES = "extra_files"


@dataclass(frozen=True)
class CardSource:
    """Where a version's card lies and its SHA-256."""

    ref: VersionRef
    uri: str
    sha256: str

    def load(self) -> TrainingCard:
        """Download, check and read it.

        Raises:
            RegistryError: if the artifact store does not hand it out.
            ModelError: if it is not the one that was registered.
        """
        import mlflow
        from mlflow.exceptions import MlflowException

        with TemporaryDirectory(prefix="lethe-card-") as folder:
            try:
                found = mlflow.artifacts.download_artifacts(self.uri, dst_path=folder)
            except (MlflowException, OSError) as error:
                raise RegistryError(
                    f"The training card of {self.ref} cannot be downloaded "
                    f"({type(error).__name__}). Nothing was changed. Check that the artifact store "
                    f"is reachable, then try again."
                ) from error
            if not hmac.compare_digest(file_digest(Path(found)), self.sha256):
                raise ModelError(
                    f"The training card of {self.ref} is not the one that was registered. Nothing "
                    f"was loaded or changed. Restore the artifact; or, to go on without a card, "
                    f"remove the version's tag {tags.CARD}."
                )
            return TrainingCard.load(Path(found))


def find_card(client: "MlflowClient", ref: VersionRef, record: Any) -> CardSource | None:
    """Where the card of a version lies, by MLflow's record of it; None if it has none."""
    sha256 = record.tags.get(tags.CARD)
    if sha256 is None:
        return None
    added = _added(sha256)
    if record.run_id and added in _cards_of_run(client, record.run_id):
        return CardSource(ref, f"runs:/{record.run_id}/{added}", sha256)
    return CardSource(ref, f"{ref.uri}/{EXTRA_FILES}/{FILE_NAME}", sha256)


def add_card(client: "MlflowClient", ref: VersionRef, run_id: str, card: TrainingCard) -> str:
    """Add a card to a version that has none; its SHA-256. The tag comes last.

    Args:
        client: the registry.
        ref: the version.
        run_id: its run, which keeps the card.
        card: of the weights of that version.
    """
    with TemporaryDirectory(prefix="lethe-card-") as folder:
        path = Path(folder) / FILE_NAME
        card.save(path)
        sha256 = file_digest(path)
        named = path.rename(path.with_name(Path(_added(sha256)).name))
        client.log_artifact(run_id, str(named), tags.CARDS_FOLDER)
    client.set_model_version_tag(ref.name, str(ref.number), tags.CARD, sha256)
    return sha256


def _cards_of_run(client: "MlflowClient", run_id: str) -> set[str]:
    from mlflow.exceptions import MlflowException

    try:
        return {str(file.path) for file in client.list_artifacts(run_id, tags.CARDS_FOLDER)}
    except MlflowException as error:
        if error.error_code not in MISSING:
            raise
        return set()  # the run was deleted for good; a version may outlive it


def _added(sha256: str) -> str:
    return f"{tags.CARDS_FOLDER}/{sha256}.safetensors"

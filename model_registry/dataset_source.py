"""DVC data sets as MLflow dataset sources, so that a run's dataset can be read back.

    source = mlflow.data.get_source(run.inputs.dataset_inputs[0])
    table = source.load()        # the folder at the recorded revision, as a pyarrow data set

MLflow finds the class through the entry-point group `mlflow.dataset_source`.
"""

from typing import Any, Self

from mlflow.data.dataset_source import DatasetSource

SOURCE_TYPE = "dvc"


class DVCDatasetSource(DatasetSource):  # type: ignore[misc]  # MLflow is not typed
    """A path that DVC tracks, in a git repository, at one commit."""

    def __init__(self, repository: str, path: str, git_rev: str) -> None:
        self.repository = repository
        self.path = path
        self.git_rev = git_rev

    @staticmethod
    def _get_source_type() -> str:
        return SOURCE_TYPE

    @staticmethod
    def _can_resolve(raw_source: Any) -> bool:
        return isinstance(raw_source, DVCDatasetSource)

    @classmethod
    def _resolve(cls, raw_source: Any) -> Self:
        return cls(raw_source.repository, raw_source.path, raw_source.git_rev)

    def load(self) -> Any:
        """The tracked file or folder at the recorded commit, as a `pyarrow.dataset.Dataset`."""
        import pyarrow.dataset as pads
        from pyarrow.fs import FSSpecHandler, PyFileSystem

        from lethe.data.repository import dvc_filesystem

        files = PyFileSystem(FSSpecHandler(dvc_filesystem(self.repository, self.git_rev)))
        return pads.dataset(self.path, filesystem=files, format="parquet")

    def to_dict(self) -> dict[str, Any]:
        """The source as JSON, for the run."""
        return {"repository": self.repository, "path": self.path, "git_rev": self.git_rev}

    @classmethod
    def from_dict(cls, source_dict: dict[str, Any]) -> Self:
        """What `to_dict` wrote."""
        return cls(**source_dict)

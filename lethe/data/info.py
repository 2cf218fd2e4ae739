"""Facts about a data set, carried inside its Parquet files."""

import json
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lethe.data.errors import FormError

METADATA_KEY = b"lethe.dataset"


class DatasetInfo(BaseModel):
    """What a reader must know about a data set besides its rows.

    `classes` are the labels in the order of the model's outputs; `shape` is one input's, without
    the batch dimension.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    title: str
    source: str
    licence: str
    citation: str
    classes: Annotated[tuple[str, ...], Field(strict=False)]
    shape: Annotated[tuple[int, ...], Field(strict=False)]
    split: str
    preprocessing: str

    def to_metadata(self) -> dict[bytes, bytes]:
        """The facts as Parquet schema metadata; equal facts give equal bytes."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return {METADATA_KEY: text.encode()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[bytes, bytes] | None) -> "DatasetInfo | None":
        """The facts in Parquet schema metadata, None when there are none.

        Raises:
            FormError: if the facts are there and cannot be read.
        """
        text = (metadata or {}).get(METADATA_KEY)
        if text is None:
            return None
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise FormError(
                "The facts inside the data set's Parquet file cannot be read: "
                f"{error.errors()[0]['msg']}. Nothing was read. Write the file again with "
                "`lethe data import`."
            ) from error

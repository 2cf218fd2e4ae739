"""What to forget, as a reference; free of anything heavy, so that a request can be read anywhere.

The union in `selection` is told apart by its fields: `{"classes": ["3"]}` is a `Selection`,
`{"parts": [...]}` an `AnyOf`.
"""

from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from lethe.data.selection import Selection
from lethe.data.union import AnyOf


class ForgetSpec(BaseModel):
    """What to forget: a data set at a revision, and which of its rows.

    With `whole` the data set itself is the forget set, a DVC-tracked file or folder made for the
    purpose; a selection then says what it holds, such as the classes to forget. Never say so of
    the data set that the model was trained on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    dataset: str
    selection: Selection | AnyOf | None = None
    repository: str = "."
    rev: str = "HEAD"
    whole: bool = False

    @model_validator(mode="after")
    def _named(self) -> Self:
        if not self.dataset.strip("/. "):
            message = "dataset must be a path inside the repository, such as data/digits"
            raise ValueError(message)
        return self

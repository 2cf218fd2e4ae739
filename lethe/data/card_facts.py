"""What a training card says beside its tables: its facts, and one class of it in plain words."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

# Below that a mean or a quantile is not far from a single row.
MIN_ROWS = 5
# Levels of the quantiles: 0, 0.05, ... 1.
LEVELS = tuple(step / 20 for step in range(21))

Split = Literal["train", "held_out"]
Status = Literal["known", "few_rows", "forgotten"]


class CardFacts(BaseModel):
    """What a card is about and how it was made. JSON throughout."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    form: Literal[1] = 1
    weights_sha256: str = Field(
        pattern=r"^[0-9a-f]{64}$", description="of the model that is described"
    )
    dataset: str = Field(description="path of the data set in its repository")
    dvc_md5: str
    git_rev: str
    seed: int = Field(description="of the choice of rows for the Fisher information")
    min_rows: int = Field(default=MIN_ROWS, ge=1)
    fisher_rows: int = Field(ge=0, description="training rows in the Fisher information")
    fisher_by: Literal["vmap", "loop", "none"] = "none"
    curvature_rows: int = Field(
        default=0, ge=0, description="training rows in the Kronecker factors; 0: there are none"
    )
    curvature_temperature: float = Field(
        default=1.0, gt=0, description="softens the answers that the Kronecker factors are about"
    )
    unseen_folds: int = Field(
        default=0,
        ge=0,
        description="networks that were trained without some people each; 0: no losses of people "
        "with networks that never saw them",
    )
    forgotten: tuple[str, ...] = Field(
        default=(), description="classes whose statistics were taken out"
    )
    fisher_holds_forgotten: bool = Field(
        default=False, description="the Fisher information includes rows forgotten since"
    )
    curvature_holds_forgotten: bool = Field(
        default=False, description="so do the Kronecker factors"
    )
    statistics_hold_forgotten: bool = Field(
        default=False, description="so do counts, accuracies, means and quantiles"
    )

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know besides, in sentences."""
        found = []
        if self.forgotten:
            found.append(f"Classes taken out after they were forgotten: {len(self.forgotten)}.")
        if self.fisher_holds_forgotten:
            found.append(
                "The Fisher information is a sum over all training rows and still includes those "
                "that were forgotten."
            )
        if self.curvature_holds_forgotten:
            found.append(
                "The Kronecker factors are sums over training rows and still include those that "
                "were forgotten."
            )
        if self.statistics_hold_forgotten:
            found.append(
                "Rows that were forgotten without their whole class are still part of counts, "
                "accuracies, means and quantiles."
            )
        if self.statistics_hold_forgotten and self.unseen_folds:
            found.append(
                "Other people's losses with networks that never saw them come from networks that "
                "saw the rows that were forgotten."
            )
        return tuple(found)


@dataclass(frozen=True, eq=False)
class ClassCard:
    """What a card says of one class.

    `feature_mean` is (D,) float32 and None where it is absent. Loss quantiles are (Q,) float32 at
    `LEVELS`; where `*_own` is False they are all classes' quantiles, and None if there are none.
    """

    name: str
    status: Status
    train_rows: int
    held_out_rows: int
    held_out_accuracy: float | None
    feature_mean: Tensor | None
    train_loss: Tensor | None
    train_loss_own: bool
    held_out_loss: Tensor | None
    held_out_loss_own: bool

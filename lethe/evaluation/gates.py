"""Thresholds that a successor must meet before it may be registered as a candidate."""

from pydantic import BaseModel, ConfigDict, Field


class GateThresholds(BaseModel):
    """Accuracies are shares in [0, 1]; a loss of 0.02 is two points."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    max_forget_accuracy: float = Field(
        default=0.01, ge=0, le=1, description="highest accuracy left on the forgotten rows"
    )
    max_retained_loss: float = Field(
        default=0.02, ge=0, le=1, description="highest mean loss of retained held-out accuracy"
    )
    max_class_loss: float = Field(
        default=0.10, ge=0, le=1, description="highest loss of accuracy on one retained class"
    )
    min_agreement: float = Field(
        default=0.95, ge=0, le=1, description="lowest agreement with the parent on retained rows"
    )

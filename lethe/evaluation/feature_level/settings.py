"""How the feature level relearns; nothing heavy is imported."""

from pydantic import BaseModel, ConfigDict, Field


class RelearnSettings(BaseModel):
    """How a network is fine-tuned on few rows to see how fast a class comes back."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    steps: int = Field(default=60, ge=1, description="updates at most")
    rows: int = Field(default=200, ge=1, description="labelled rows to learn from, all classes")
    batch_size: int = Field(default=32, ge=1, description="rows per update")
    learning_rate: float = Field(default=0.001, gt=0, description="of Adam")
    fresh_head: bool = Field(
        default=True,
        description="start from a last layer of zeros, so that a masked one hides nothing; only "
        "with retained rows",
    )
    every: int = Field(default=1, ge=1, description="updates between two measurements")
    held_out_rows: int = Field(default=128, ge=1, description="rows per measurement and side")
    recovered: float = Field(
        default=0.95, gt=0, le=1, description="corrected forget accuracy at which to end early"
    )
    hold: int = Field(default=5, ge=1, description="measurements it must hold to end early")

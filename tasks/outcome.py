"""What came out of a request's steps, up to the verdict."""

from collections.abc import Mapping
from dataclasses import dataclass

from lethe.evaluation.results import Accuracy, Evaluation
from lethe.evaluation.verdict import Decision, Verdict
from lethe.models.training import TrainedNetwork
from lethe.unlearning.method import Edit, Instructions


@dataclass(frozen=True)
class Outcome:
    """The edit, what it was based on, what was measured and what that means.

    `own` is, by request id, the share of its own training rows that is still recognised.
    """

    instructions: Instructions
    edit: Edit
    retrained: TrainedNetwork | None
    evaluation: Evaluation
    evaluation_seconds: float
    own: Mapping[str, Accuracy | None]
    decision: Decision

    @property
    def refused(self) -> bool:
        """Whether a gate failed."""
        return self.decision.verdict is Verdict.REFUSED

    @property
    def seconds(self) -> dict[str, float]:
        """Wall time of each computation."""
        found = {
            "probe": float(self.instructions.facts.get("seconds", 0.0)),
            "edit": self.edit.seconds,
            "evaluation": self.evaluation_seconds,
        }
        # Times are compared within one run only.
        if self.retrained is not None and not self.retrained.kept:
            found["retraining"] = self.retrained.seconds
        return found

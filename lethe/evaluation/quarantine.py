"""Whether a quarantine may be put in service: what it blocks, what it costs, nothing else.

A quarantine forgets nothing, so it is not asked whether it treats rows like rows never seen, nor
how much held-out rows of a class it blocks: that is measured and told. It must block the rows that
it is for, and cost no more than an edit may.
"""

from typing import Final

from lethe.evaluation.gate import GateResult, judge, percent
from lethe.evaluation.gates import GateThresholds, check_gates
from lethe.evaluation.results import Accuracy, Evaluation, Result
from lethe.evaluation.verdict import NEVER_COVERED, UNDER_PATCH, Decision, Verdict

COST: Final = ("retained_loss", "class_loss", "agreement", "finite_outputs")
WAITING: Final = (
    "The request itself: it is not carried out yet, and the weights are unchanged.",
    "Other rows of the same classes or people, as far as the patch does not reach them.",
)


class Coverage(Result):
    """Of the training rows of a quarantine: how many are blocked, and how many proven to be.

    `regions` is 0 for a patch that reaches everywhere. `certified` rows are proven not to be
    answered with what is blocked, on their whole linear region or on a cube around them.
    """

    reach: str
    rows: int
    regions: int
    blocked: int
    certified: int

    @property
    def words(self) -> str:
        """In a line."""
        return f"{self.blocked:,} of {self.rows:,} rows blocked, {self.certified:,} certified"


def decide_quarantine(
    evaluation: Evaluation, thresholds: GateThresholds, coverage: Coverage, recognised: Accuracy
) -> Decision:
    """Judge a quarantine; the verdict is `suppressed` at most.

    Args:
        evaluation: parent and patched network on the same rows.
        thresholds: what has to be met.
        coverage: what the patch was found to hold.
        recognised: of the forget set's training rows, those that are still answered as before.
    """
    limit = thresholds.max_forget_accuracy
    words = (
        f"{percent(recognised.share)} of {recognised.count:,} rows of the forget set are still "
        f"recognised; at most {percent(limit)} allowed."
    )
    gates: tuple[GateResult, ...] = (
        judge(
            "forget_accuracy_train",
            recognised.share,
            limit,
            words,
        ),
        *(gate for gate in check_gates(evaluation, thresholds) if gate.name in COST),
    )
    failed = [gate.words for gate in gates if gate.passed is False]
    open_rows = coverage.rows - coverage.certified
    reason = (
        f"Quarantine, until the request is carried out: {coverage.words}. A certificate is about "
        f"labels around a row, not about erasure: the weights are the parent's."
    )
    if failed:
        reason = f"{len(failed)} of {len(gates)} gates failed. {' '.join(failed)}"
    return Decision(
        verdict=Verdict.REFUSED if failed else Verdict.SUPPRESSED,
        rule="gate_failed" if failed else "patched",
        reason=reason,
        gates=gates,
        not_covered=(
            *WAITING,
            *(
                [f"{open_rows:,} rows of the forget set that are not certified."]
                if open_rows
                else []
            ),
            UNDER_PATCH,
            *NEVER_COVERED,
        ),
    )

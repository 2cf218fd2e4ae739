"""The verdict: all rules in one place.

| rule                  | when                                                | verdict    |
|-----------------------|-----------------------------------------------------|------------|
| `gate_failed`         | any gate failed                                     | refused    |
| `rebuilt_without`     | the network was rebuilt without the forget set      | retrained  |
| `output_level_passed` | no gate failed; the feature level was not measured  | suppressed |

`erased` needs evidence at the feature level too, so no rule on this level gives it.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal

from lethe.evaluation.gates import GateResult, GateThresholds, check_gates
from lethe.evaluation.results import Evaluation, Result

Rule = Literal["gate_failed", "rebuilt_without", "output_level_passed"]

NEVER_COVERED = (
    "Hidden layers: the feature level was not measured.",
    "Older versions that are still in the registry: they still remember.",
    "Backups and copies of the model or the data, wherever they are kept.",
    "Models derived from the parent: fine-tuned, distilled, merged or exported.",
    "Predictions already served, and anything computed from them.",
)


class Verdict(StrEnum):
    """What may be said of a successor; the record never says more."""

    ERASED = "erased"
    SUPPRESSED = "suppressed"
    RETRAINED = "retrained"
    REFUSED = "refused"


class Decision(Result):
    """A verdict, the rule that gave it, and what it does not cover."""

    verdict: Verdict
    rule: Rule
    reason: str
    gates: tuple[GateResult, ...]
    not_covered: tuple[str, ...]

    @property
    def refused(self) -> bool:
        """Whether nothing may be registered."""
        return self.verdict is Verdict.REFUSED

    @property
    def utility_shown(self) -> bool:
        """Whether anything shows what the edit cost; without that nobody should be served by it."""
        return any(gate.name == "retained_loss" and gate.passed for gate in self.gates)


def decide(
    evaluation: Evaluation,
    thresholds: GateThresholds,
    *,
    retrained: bool = False,
    extra: Sequence[GateResult] = (),
) -> Decision:
    """Judge an evaluation.

    Args:
        evaluation: what was measured.
        thresholds: what has to be met.
        retrained: the successor was rebuilt without the forget set, not edited.
        extra: further gates that have to pass, such as `lethe.evaluation.gates.worst_relapse`.
    """
    gates = (*check_gates(evaluation, thresholds, retrained=retrained), *extra)
    failed = [gate for gate in gates if gate.passed is False]
    if failed:
        rule: Rule = "gate_failed"
        verdict = Verdict.REFUSED
        facts = " ".join(dict.fromkeys(gate.words for gate in failed))
        reason = f"{len(failed)} of {len(gates)} gates failed. {facts}"
    elif retrained:
        rule, verdict = "rebuilt_without", Verdict.RETRAINED
        reason = "The network was rebuilt without the forget set, and every judged gate passed."
    else:
        rule, verdict = "output_level_passed", Verdict.SUPPRESSED
        reason = (
            "The output level passed: the model no longer answers with what was forgotten. The "
            "feature level was not measured, so whether its hidden layers still hold it is open."
        )
    undecided = [gate for gate in gates if gate.passed is None]
    for words, names in (
        ("Not measured", [gate.name for gate in undecided if gate.measured is None]),
        ("Measured, not judged", [gate.name for gate in undecided if gate.measured is not None]),
    ):
        if names:
            reason += f" {words}: {', '.join(names)}."
    return Decision(
        verdict=verdict,
        rule=rule,
        reason=reason,
        gates=gates,
        not_covered=(*NEVER_COVERED, *_gaps(evaluation)),
    )


def _gaps(evaluation: Evaluation) -> list[str]:
    gaps = [
        f"{part.words.capitalize()}: none were given, so nothing was measured on them."
        for part in evaluation.not_measured
    ]
    if evaluation.unknown_labels:
        gaps.append(
            f"{evaluation.unknown_labels:,} rows whose label the model does not know, or was made "
            f"to forget before: they were left out of every accuracy."
        )
    return gaps

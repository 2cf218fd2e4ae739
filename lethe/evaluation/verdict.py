"""The verdict: all rules in one place, tried from top to bottom.

| rule                      | when                                                 | verdict    |
|---------------------------|------------------------------------------------------|------------|
| `gate_failed`             | any gate failed                                      | refused    |
| `rebuilt_without`         | the network was rebuilt without the forget set       | retrained  |
| `too_little`              | the settings ask for more than what was reached      | refused    |
| `patched`                 | the successor is a network under a patch             | suppressed |
| `feature_level_passed`    | hidden layers stand nearer to the reference          | erased     |
| `feature_level_remembers` | some reading stands nearer to the parent             | suppressed |
| `feature_level_unclear`   | too few readings can tell reference and parent apart | suppressed |
| `output_level_passed`     | the feature level was not measured                   | suppressed |

A patch keeps labels from being given and changes no weight, so its network is never called erased,
whatever was measured. `erased` needs both levels. At the feature level two readings that tell must
have been taken, one of them an attempt to get the class back, and none may stand above
`max_feature_position` (0.8 for those that show only that layers did not move). For people and
single rows the reference must be a retrained network: a fresh one says nothing there.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal

from lethe.evaluation.feature_level.readings import RECOVERING, FeatureLevel, limit_of
from lethe.evaluation.gates import GateResult, GateThresholds, check_gates
from lethe.evaluation.results import Evaluation, Result

Rule = Literal[
    "gate_failed",
    "rebuilt_without",
    "patched",
    "feature_level_passed",
    "too_little",
    "feature_level_remembers",
    "feature_level_unclear",
    "output_level_passed",
]

LEAST_READINGS = 2
PASSED = "The output level passed: the model no longer answers with what was forgotten. "
PASSED_ROWS = "The output level passed: the model treats these rows like rows that it never saw. "
UNMEASURED = "Hidden layers: the feature level was not measured."
MEASURED = "What other readings of the hidden layers would find than those that were taken."
PATCHED = (
    "It is a network under a patch, which keeps labels from being given and erases nothing: "
    "whoever takes the patch off has the network below, which holds what it held."
)
UNDER_PATCH = "What the network under the patch holds: a patch changes none of its weights."
NEVER_COVERED = (
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
        rule, words = _inside(evaluation, thresholds)
        erased = rule == "feature_level_passed"
        verdict = Verdict.ERASED if erased else Verdict.SUPPRESSED
        reason = (PASSED if evaluation.forgotten else PASSED_ROWS) + words
        if thresholds.least_verdict == "erased" and not erased:
            rule, verdict = "too_little", Verdict.REFUSED
            reason += " The setting gates.least_verdict asks for erased."
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
        not_covered=(
            UNMEASURED if evaluation.features is None else MEASURED,
            *([UNDER_PATCH] if evaluation.patched else []),
            *NEVER_COVERED,
            *_gaps(evaluation),
        ),
    )


def _inside(evaluation: Evaluation, thresholds: GateThresholds) -> tuple[Rule, str]:
    """What the hidden layers say, and why."""
    if evaluation.patched:
        return "patched", PATCHED
    found = evaluation.features
    if found is None:
        return "output_level_passed", (
            "The feature level was not measured, so whether its hidden layers still hold it is "
            "open."
        )
    if not evaluation.forgotten and found.reference != "retrained":
        return "feature_level_unclear", (
            "Whether its hidden layers still hold these rows could not be told: for single rows "
            "that takes a retrained network to compare with."
        )
    limit = thresholds.max_feature_position
    telling = {one.name: one.position for one in found.telling if one.position is not None}
    above = {name: at for name, at in telling.items() if at > limit_of(name, limit)}
    if above:
        worst = max(above, key=above.__getitem__)
        return "feature_level_remembers", (
            f"Its hidden layers still hold it: by {len(above)} of {len(telling)} readings that can "
            f"tell they are like the parent rather than like {_reference(found)}. By "
            f"{_words(worst)} they stand at {above[worst]:.2f}, where 1 is the parent and at most "
            f"{limit_of(worst, limit):.2f} would be erased."
        )
    enough = len(telling) >= LEAST_READINGS and bool(telling.keys() & RECOVERING)
    if not enough:
        return "feature_level_unclear", (
            f"Whether its hidden layers still hold it could not be told: {len(telling)} of "
            f"{len(found.readings)} readings tell the parent from {_reference(found)}."
        )
    worst = max(telling.keys() & RECOVERING, key=telling.__getitem__)
    return "feature_level_passed", (
        f"So did the feature level: by all {len(telling)} readings that can tell, its hidden "
        f"layers are like {_reference(found)} rather than like the parent. By {_words(worst)} "
        f"they stand highest, at {telling[worst]:.2f}, where 1 is the parent; at most "
        f"{limit:.2f} allowed."
    )


def _words(reading: str) -> str:
    name, _, share = reading.rpartition("_")
    return f"{name.replace('_', ' ')} ({share} %)" if share.isdigit() else reading.replace("_", " ")


def _reference(found: FeatureLevel) -> str:
    names = {"retrained": "a retrained network", "fresh": "a fresh network"}
    return names.get(found.reference or "", "a reference, which there is none of,")


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

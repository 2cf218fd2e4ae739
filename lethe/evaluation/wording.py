"""Plain words for gates, readings and verdicts: the same on every page and in the terminal.

Nothing heavy is imported: the command line reads this too.
"""

from lethe.evaluation.results import Evaluation
from lethe.evaluation.verdict import Decision, Rule, Verdict

GATES = {
    "forget_accuracy_train": "Forgotten rows, training",
    "forget_accuracy_held_out": "Forgotten rows, held-out",
    "forgotten_classes_answered": "No forgotten class is answered",
    "remembered": "Rows are like rows never seen",
    "overshoot": "Rows are not pushed beyond that",
    "retained_loss": "Retained accuracy",
    "class_loss": "Worst retained class",
    "agreement": "Agreement with the parent",
    "finite_outputs": "Outputs are numbers",
    "relapse": "What was forgotten before stays forgotten",
}

# Positions between a reference (0) and the parent (1); they are not shares.
POSITIONS = frozenset({"remembered", "overshoot"})

# What a reading finds, and what its figure is.
READINGS = {
    "relearn": (
        "Learns it again from a few rows",
        "Mean accuracy while learning again, less rows wrongly taken for the class",
    ),
    "linear_probe_2": (
        "A new last layer finds it, with 2 % of the labels",
        "Held-out accuracy on the forgotten class",
    ),
    "linear_probe_10": (
        "A new last layer finds it, with 10 % of the labels",
        "Held-out accuracy on the forgotten class",
    ),
    "class_means": (
        "Its rows still lie together",
        "Share of held-out rows nearest to the mean of their own class",
    ),
    "likeness": (
        "Layers hold what the parent's hold",
        "CKA with the parent on forgotten rows; 1 is the same",
    ),
    "original_means": (
        "Its rows lie where the parent had them",
        "Share of rows nearest to the mean that the parent had for their class",
    ),
    "feature_membership": (
        "Layers tell training rows from rows never seen",
        "AUC; 0.5 is chance",
    ),
}
SHARES = frozenset({"linear_probe_2", "linear_probe_10", "class_means", "original_means"})

NETWORKS = {"original": "parent", "retrained": "retrained network", "fresh": "fresh network"}

SUPPRESSED: dict[Rule, str] = {
    "patched": (
        "Inside it is the model that it was: a patch keeps it from answering, and nothing was "
        "erased. Do not call it erased."
    ),
    "feature_level_remembers": (
        "Inside it still knows it: its hidden layers were measured, and are nearer to the parent "
        "than is allowed. Do not call it erased."
    ),
    "feature_level_unclear": (
        "Its hidden layers were measured too, but that could not show whether it still knows it "
        "inside, so do not call it erased."
    ),
    "output_level_passed": (
        "Whether it still knows it inside was not measured, so do not call it erased."
    ),
}


def meaning(decision: Decision, evaluation: Evaluation) -> str:
    """What a verdict means, for somebody who reads nothing else."""
    if decision.verdict is Verdict.REFUSED:
        return (
            "The result did not meet what is required of it, so no new version was registered. The "
            "version in use and its aliases are as they were."
        )
    if decision.verdict is Verdict.RETRAINED:
        return "The model was built again without the data that had to be forgotten."
    answers = (
        "On the rows that were tested, the model no longer gives the answer that had to be "
        "forgotten."
        if evaluation.forgotten
        else "The model answers the rows that had to be forgotten more like rows that it never saw."
    )
    if decision.verdict is Verdict.ERASED:
        return f"{answers} Its hidden layers, as far as they were measured, do not hold it either."
    return f"{answers} {SUPPRESSED[decision.rule]}"


def reading_words(name: str) -> tuple[str, str]:
    """What a reading finds and what its figure is."""
    return READINGS.get(name, (name.replace("_", " ").capitalize(), ""))


def reading_figure(name: str, value: float | None) -> str:
    """A reading's value for people: a share in per cent, all else to two places."""
    if value is None:
        return "\N{EN DASH}"
    return f"{100 * value:.0f} %" if name in SHARES else decimal(value)


def decimal(value: float) -> str:
    """Two places, with a real minus sign and no negative zero."""
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", "\N{MINUS SIGN}")

"""What a certificate says of a verdict: in the title, in a sentence, and at its limits.

    words = certificate_words(statement.predicate)

The verdict `suppressed` is given for three reasons, which the statement's rule tells apart: the
inner layers still hold it, measuring them could not tell, or they were not measured. A statement
from before inner layers were measured says the last.
"""

from typing import Final, NamedTuple

from lethe.audit.predicate import Predicate

FEATURES: Final = "features."


class Words(NamedTuple):
    """`shown` and `not_shown` are each the first of a list."""

    title: str
    meaning: str
    shown: str
    not_shown: str


ERASED: Final = Words(
    "Neither the model's answers nor its inner layers showed what was to be forgotten",
    "Two things were measured: what the new version answers, and what its inner layers still tell. "
    "Both met the limits that were required.",
    "That the new version met every limit that could be judged, in answers and inside.",
    "That no trace is left: only what was measured is known.",
)
RETRAINED: Final = Words(
    "The model was built again without what was to be forgotten",
    "The new version was trained from the start, and what was to be forgotten was left out of its "
    "training data. It may still answer such rows rightly, as any that it never saw.",
    "That the new version was built without the data, and what it answers now.",
    "That nothing about it can be guessed from similar data that stayed.",
)
REFUSED: Final = Words(
    "The request could not be carried out; nothing was replaced",
    "An attempt was made and measured, and its result did not meet the limits that were required. "
    "It was discarded. The version in use was left as it was, and still remembers.",
    "Which limits the attempt failed, and that no new version was registered.",
    "That anything was forgotten: nothing was.",
)
ANSWERS: Final = "On the rows that were tested, the answers of the new version met the limits that "
ANSWERS_SHOWN: Final = "That the answers of the new version met every limit that could be judged"
CLASSES: Final = "The model no longer answers with what was to be forgotten"
ROWS: Final = "The model answers what was to be forgotten more like data it never saw"

# What follows the title, the sentence and each limit when the verdict is `suppressed`.
REMEMBERS: Final = Words(
    ", but its inner layers still hold it",
    "were required. The inner layers were measured too, and still hold what the answers no longer "
    "show. This is not the same as erasure.",
    ", and that its inner layers did not.",
    "That the model is free of it: its inner layers still hold it.",
)
PATCHED: Final = Words(
    ", but it still holds it",
    "were required. Only the answers were changed, by a patch: the model under it is the one that "
    "was there before, and holds what it held. This is not erasure.",
    ".",
    "That the model is free of it: it still holds it, and a patch keeps it from answering.",
)
UNCLEAR: Final = Words(
    "",
    "were required. The inner layers of the model may still hold what its answers no longer show: "
    "they were measured, but that could not tell. This is not the same as erasure.",
    ".",
    "That the model is free of it: whether its inner layers still hold it could not be told.",
)
UNMEASURED: Final = Words(
    "",
    "were required. The inner layers of the model may still hold what its answers no longer show: "
    "they were not measured. This is not the same as erasure.",
    ".",
    "That the model is free of it: its inner layers may still hold it.",
)
WHOLE: Final = {"erased": ERASED, "retrained": RETRAINED, "refused": REFUSED}


def certificate_words(predicate: Predicate) -> Words:
    """What to say of a statement's verdict."""
    if predicate.verdict in WHOLE:
        return WHOLE[predicate.verdict]
    inside = _inside(predicate)
    title = CLASSES if predicate.data.kind == "class" else ROWS
    return Words(
        title + inside.title,
        ANSWERS + inside.meaning,
        ANSWERS_SHOWN + inside.shown,
        inside.not_shown,
    )


def _inside(predicate: Predicate) -> Words:
    """What is known of the inner layers; the least where the rule is not known here."""
    if predicate.rule == "patched":
        return PATCHED
    if predicate.rule == "feature_level_remembers":
        return REMEMBERS
    if any(name.startswith(FEATURES) for name in predicate.figures):
        return UNCLEAR
    return UNMEASURED

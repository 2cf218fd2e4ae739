"""The certificate: one page of HTML that tells one deletion request what became of it.

    text = render_certificate(
        statement, "req-1", digest=digest(statement), sequence=7, key_id="…",
        verify_command="lethe audit verify statement.json",
    )
    path.write_text(text, encoding="utf-8")

Written for whoever asked and for the data protection officer, and printed on one sheet. It is made
from the statement alone and says what the statement says about that request: of the others that
were carried out with it, it gives the number. It claims no more than the verdict does, and lists
what was not covered. The page is one file that runs no script and asks no server for anything.

The QR code holds `lethe:statement:sha256:DIGEST:REQUEST`, so that a sheet of paper leads back to
the signed statement. The page itself is not evidence: the statement is.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import segno
from jinja2 import Environment, PackageLoader, StrictUndefined

from lethe.audit.certificate_words import certificate_words
from lethe.audit.errors import AuditError
from lethe.audit.predicate import Gate, Predicate, Request
from lethe.audit.statement import Statement

TEMPLATE: Final = "certificate.html.j2"
LISTED_CLASSES = 10
LISTED_LIMITS = 10
LONGEST_NAME = 28
LONGEST_WORDS = 260
LONGEST_PATH = 90

GATES: Final = {
    "forget_accuracy_train": "To be forgotten, seen in training: still recognised",
    "forget_accuracy_held_out": "To be forgotten, never seen: still recognised",
    "forgotten_classes_answered": "Still answered with a forgotten class",
    "remembered": "From never seen (0) to as before (1): how it answers now",
    "overshoot": "How far it was pushed beyond never seen",
    "retained_loss": "Accuracy lost on everything else",
    "class_loss": "Accuracy lost on the class that suffered most",
    "agreement": "Same answer as before on everything else",
    "finite_outputs": "Answers that are not a number",
    "relapse": "What was forgotten earlier coming back",
}
DASH: Final = "\N{EN DASH}"
IN_POINTS = ("_loss", "relapse")
POSITIONS = ("remembered", "overshoot")


def render_certificate(
    statement: Statement,
    request_id: str,
    *,
    digest: str,
    sequence: int | None,
    key_id: str | None,
    controller: str = "",
    verify_command: str,
) -> str:
    """The page as HTML text, to be written as UTF-8.

    Args:
        statement: the statement that the request was carried out under, or refused.
        request_id: which of its requests the page is for.
        digest: SHA-256 of the statement's bytes, in hex.
        sequence: its place in the record, if it has one.
        key_id: of the key that signed it; None when nobody did.
        controller: who answers for the model, as the reader shall see it.
        verify_command: what to type to check the statement.

    Raises:
        AuditError: if the statement is not about that request.
    """
    predicate = statement.predicate
    request = _request(predicate, request_id, digest)
    environment = Environment(
        loader=PackageLoader("lethe.audit"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"moment": _moment, "percent": _percent, "cut": _cut, "words": _words}
    return environment.get_template(TEMPLATE).render(
        p=predicate,
        request=request,
        others=len(predicate.requests) - 1,
        refused=predicate.verdict == "refused",
        words=certificate_words(predicate),
        forgot=_forgot(predicate, request),
        before=_before(predicate),
        gates=[_row(gate) for gate in predicate.gates],
        limits=predicate.not_covered[:LISTED_LIMITS],
        more_limits=max(0, len(predicate.not_covered) - LISTED_LIMITS),
        digest=digest,
        short=" ".join(digest[place : place + 4] for place in range(0, 16, 4)),
        code_svg=_code(f"lethe:statement:sha256:{digest}:{request_id}"),
        sequence=sequence,
        key_id=key_id,
        controller=controller,
        verify_command=verify_command,
        longest_path=LONGEST_PATH,
    )


def _request(predicate: Predicate, request_id: str, digest: str) -> Request:
    found = next((one for one in predicate.requests if one.id == request_id), None)
    if found is None:
        raise AuditError(
            f"Statement {digest[:12]} is not about the request {request_id!r}. No certificate was "
            f"written. `lethe requests show REQUEST_ID` prints the statement of a request."
        )
    return found


def _forgot(predicate: Predicate, request: Request) -> str:
    """What the request selected, in words; the classes of a batch are not told apart in it."""
    alone = len(predicate.requests) == 1
    rows = request.rows if request.rows is not None else predicate.data.count if alone else None
    counted = "rows" if rows is None else f"{rows:,} {'row' if rows == 1 else 'rows'}"
    if request.kind == "subject":
        return f"{counted} of training data about persons whom the request names"
    if request.kind == "samples":
        return f"{counted} of training data that the request names"
    names = predicate.data.classes if alone else ()
    if not names:
        return f"the classes that the request names, {counted} of training data"
    listed = ", ".join(f"“{_cut(name, LONGEST_NAME)}”" for name in names[:LISTED_CLASSES])
    rest = len(names) - LISTED_CLASSES
    more = f" and {rest:,} more" if rest > 0 else ""
    return f"{'class' if len(names) == 1 else 'classes'} {listed}{more}, {counted} of training data"


def _before(predicate: Predicate) -> float | None:
    """Share of the request's own rows that the parent recognised: known if it was alone."""
    return predicate.figures.get("before.forget_train") if len(predicate.requests) == 1 else None


def _row(gate: Gate) -> dict[str, Any]:
    figure = _figure(gate.name)
    sign = "≤" if gate.comparison == "<=" else "≥"
    judged = {True: "passed", False: "failed", None: "not judged"}[gate.passed]
    return {
        "title": GATES.get(gate.name, gate.name.replace("_", " ").capitalize()),
        "words": gate.words,
        "measured": DASH if gate.measured is None else figure(gate.measured),
        "required": f"{sign} {figure(gate.threshold)}",
        "result": "not measured" if gate.passed is None and gate.measured is None else judged,
        "mark": {True: "✓", False: "✗", None: DASH}[gate.passed],
    }


def _figure(name: str) -> Callable[[float], str]:
    """How a gate's figure is written: it may be a share, a change in points, or a count."""
    if name == "finite_outputs":
        return lambda value: f"{value:,.0f} rows"
    if name.endswith(IN_POINTS):
        return lambda value: f"{100 * value:.1f} points".replace("-", "\N{MINUS SIGN}")
    if name in POSITIONS:
        return lambda value: f"{value:.2f}".replace("-", "\N{MINUS SIGN}")
    return _percent if name in GATES else lambda value: f"{value:.4g}"


def _code(text: str) -> str:
    """A QR code as an SVG element, dark on light with its quiet zone on any page."""
    return segno.make(text, error="m", micro=False).svg_inline(
        omitsize=True, border=4, dark="#000", light="#fff"
    )


def _moment(value: datetime | None) -> str:
    return "none" if value is None else f"{value.day} {value:%B %Y, %H:%M} UTC"


def _percent(share: float) -> str:
    text = "below 0.1" if 0 < share < 0.0005 else f"{100 * share:.1f}"
    return f"{text}\N{NO-BREAK SPACE}%"


def _words(text: str) -> str:
    """A sentence of the statement, which holds it whole, with no break before a per cent sign."""
    short = text if len(text) <= LONGEST_WORDS else f"{text[: LONGEST_WORDS - 1].rstrip()}…"
    return short.replace(" %", "\N{NO-BREAK SPACE}%")


def _cut(text: str, limit: int) -> str:
    """A name cut in its middle: names often differ at their end."""
    head = (limit - 1) // 2
    return text if len(text) <= limit else f"{text[:head]}…{text[head + 1 - limit :]}"

"""One HTML page about a run, for whoever has to answer for the model.

    picture = Picture(name="curves", path=path, alt=save(curves(edit.curves), path))
    content = ReportContent(statement=s, evaluation=e, decision=d, pictures=(picture,))
    folder.joinpath("report.html").write_text(render_report(content), encoding="utf-8")

The page is one file without scripts that asks no server for anything: pictures and styles are
inside, and its own policy forbids the rest. What it says comes from the statement and the results,
so it holds no ids of rows or people either.
"""

import base64
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import Field

from lethe.audit.predicate import Phase, Predicate
from lethe.audit.statement import Statement, canonical_bytes, digest
from lethe.evaluation.results import Evaluation, Part, Partition, Result
from lethe.evaluation.verdict import Decision, Verdict

TEMPLATE = "report.html"
OPEN_CLASSES = 40
LISTED_REQUESTS = 50
LISTED_CLASSES = 10

CAPTIONS = {
    "accuracy_per_class": "Accuracy per class on held-out rows",
    "curves": "The edit, epoch by epoch",
    "probe_landing": "Where the boundary probes landed",
    "features": "Features before and after",
    "features_2d": "Features before and after",
}

GATES = {
    "forget_accuracy_train": "Forgotten rows, training",
    "forget_accuracy_held_out": "Forgotten rows, held-out",
    "forgotten_classes_answered": "No forgotten class is answered",
    "retained_loss": "Retained accuracy",
    "class_loss": "Worst retained class",
    "agreement": "Agreement with the parent",
    "finite_outputs": "Outputs are numbers",
    "relapse": "What was forgotten before stays forgotten",
}

# What took the time that is compared with retraining; measuring comes on top of either.
UNLEARNING: tuple[Phase, ...] = ("probe", "edit")

MEANING = {
    Verdict.ERASED: "The answers and the hidden layers both show that it was forgotten.",
    Verdict.SUPPRESSED: (
        "On the rows that were tested, the model no longer gives the answer that had to be "
        "forgotten. Whether it still knows it inside was not measured, so do not call it erased."
    ),
    Verdict.RETRAINED: "The model was built again without the data that had to be forgotten.",
    Verdict.REFUSED: (
        "The result did not meet what is required of it, so no new version was registered. The "
        "version in use and its aliases are as they were."
    ),
}


class Picture(Result):
    """A PNG file of `lethe.evaluation.plots`; `alt` says what is to be seen in it."""

    name: str
    path: Path
    alt: str


class Link(Result):
    """Where to read on; scripts are no addresses."""

    words: str
    url: str = Field(pattern=r"^(https?://|#|/|\./)\S*$")


class ReportContent(Result):
    """Everything the page is made of."""

    statement: Statement
    evaluation: Evaluation
    decision: Decision
    pictures: tuple[Picture, ...] = ()
    links: tuple[Link, ...] = ()


def render_report(report: ReportContent) -> str:
    """The page as HTML text, to be written as UTF-8."""
    predicate = report.statement.predicate
    environment = Environment(
        loader=PackageLoader("lethe.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": _percent,
        "points": _points,
        "seconds": _seconds,
        "number": _number,
        "moment": _moment,
        "unbroken": _unbroken,
    }
    return environment.get_template(TEMPLATE).render(
        evaluation=report.evaluation,
        decision=report.decision,
        p=predicate,
        model=predicate.parent.uri.removeprefix("models:/").rpartition("/")[0],
        forgot=_forgot(predicate),
        meaning=MEANING[report.decision.verdict],
        parts=[part for part in Part if report.evaluation.after.get(part)],
        part_words=lambda part: part.words.capitalize(),
        side=Partition.get,
        gate_names=GATES,
        gate_figure=_gate_figure,
        captions=CAPTIONS,
        open_classes=OPEN_CLASSES,
        pictures=[(picture, _inline(picture.path)) for picture in report.pictures],
        links=report.links,
        listed=LISTED_REQUESTS,
        spent=sum(predicate.compute.seconds.get(phase, 0) for phase in UNLEARNING),
        digest=digest(report.statement),
        statement=json.dumps(json.loads(canonical_bytes(report.statement)), indent=2),
    )


def _forgot(predicate: Predicate) -> str:
    data = predicate.data
    if data.kind == "class" and len(data.classes) > LISTED_CLASSES:
        return f"{len(data.classes)} classes"
    if data.kind == "class" and data.classes:
        return f"{'class' if len(data.classes) == 1 else 'classes'} {', '.join(data.classes)}"
    whose = " of the people named in the request" if data.kind == "subject" else ""
    return f"{data.count + data.held_out_count:,} rows{whose}"


def _inline(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _percent(share: float | None) -> str:
    if share is None:
        return "not measured"
    return _unbroken("below 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %")


def _unbroken(text: str) -> str:
    """The text with no line break between a figure and its per cent sign."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def _gate_figure(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name == "finite_outputs":
        return f"{value:.0f} rows"
    return f"{100 * value:.1f} {'points' if name.endswith(('_loss', 'relapse')) else '%'}"


def _points(change: float) -> str:
    """A change of a share in points, with its sign; the same figure as -0.0 is written 0.0."""
    points = round(100 * change, 1)
    return f"{points:+.1f}".replace("-", "\N{MINUS SIGN}") if points else "0.0"


def _seconds(value: float) -> str:
    if value < 10:
        return f"{value:.2f} s"
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.1f} min"


def _number(value: Any) -> str:
    return "not measured" if value is None else f"{value:.4g}"


def _moment(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S} UTC"

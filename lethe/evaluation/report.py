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
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import Field

from lethe.audit.predicate import Phase, Predicate, RungOutcome
from lethe.audit.statement import Statement, canonical_bytes, digest
from lethe.evaluation import evidence
from lethe.evaluation.gates import GateThresholds
from lethe.evaluation.report_format import FILTERS, gate_figure
from lethe.evaluation.results import Evaluation, Part, Partition, Result
from lethe.evaluation.verdict import Decision
from lethe.evaluation.wording import GATES, meaning

__all__ = ["CAPTIONS", "GATES", "Link", "Picture", "ReportContent", "render_report"]

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
    "relearn_curves": "The class is learned again from a few labelled rows",
    "layer_likeness": "Layer by layer: how like the parent on forgotten rows",
}
# Pictures of the hidden layers stand with their readings.
INSIDE = ("relearn_curves", "layer_likeness")

OUTCOMES: Mapping[RungOutcome, str] = {
    "refused": "Refused.",
    "accepted": "Accepted.",
    "unable": "Could not be carried out.",
    "not_tried": "Not tried.",
}

# What took the time that is compared with retraining; measuring comes on top of either.
UNLEARNING: tuple[Phase, ...] = ("probe", "edit")


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
    """Everything the page is made of; `thresholds` are those that the decision was made by."""

    statement: Statement
    evaluation: Evaluation
    decision: Decision
    thresholds: GateThresholds = GateThresholds()
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
    environment.filters |= FILTERS
    decision, evaluation = report.decision, report.evaluation
    pictures = [(picture, _inline(picture.path)) for picture in report.pictures]
    now = "This attempt" if decision.refused else "This version"
    return environment.get_template(TEMPLATE).render(
        evaluation=evaluation,
        decision=decision,
        p=predicate,
        model=predicate.parent.uri.removeprefix("models:/").rpartition("/")[0],
        forgot=_forgot(predicate),
        meaning=meaning(decision, evaluation),
        now=now,
        hidden=evaluation.features
        and evidence.hidden_layers(
            evaluation.features, report.thresholds.max_feature_position, now
        ),
        evidence=evidence,
        stands=next((one for one in decision.gates if one.name == "remembered"), None),
        parts=[part for part in Part if evaluation.after.get(part)],
        part_words=lambda part: part.words.capitalize(),
        side=Partition.get,
        gate_names=GATES,
        gate_figure=gate_figure,
        captions=CAPTIONS,
        open_classes=OPEN_CLASSES,
        inside=[one for one in pictures if one[0].name in INSIDE],
        pictures=[one for one in pictures if one[0].name not in INSIDE],
        links=report.links,
        listed=LISTED_REQUESTS,
        outcomes=OUTCOMES,
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

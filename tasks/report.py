"""Plots and the HTML report, written to the record's folder."""

from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING

import torch

from lethe.audit.statement import Statement
from lethe.data.rows import Rows, TensorRows
from lethe.evaluation import feature_plots, plots
from lethe.evaluation.predictions import predict
from lethe.evaluation.report import Picture, ReportContent, render_report
from lethe.evaluation.results import HELD_OUT_PARTS, Part
from model_registry import tags
from tasks.decide import rows_by_part
from tasks.outcome import Outcome
from tasks.record import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Rows of each part in the picture of the features: more would only cover each other.
PICTURED_ROWS = 500


def write_report(record: Record, outcome: Outcome, statement: Statement) -> None:
    """Write everything a person reads about the run."""
    report = ReportContent(
        statement=statement,
        evaluation=outcome.evaluation,
        decision=outcome.decision,
        thresholds=record.settings.gates,
        pictures=tuple(_pictures(record, outcome)),
    )
    path = record.folder / tags.REPORT_FILE
    path.write_text(render_report(report), encoding="utf-8")


def _pictures(record: Record, outcome: Outcome) -> list[Picture]:
    forgot = record.forgot
    drawn: dict[str, tuple[Figure, str]] = {
        "accuracy_per_class": (
            plots.accuracy_per_class(outcome.evaluation),
            f"Held-out accuracy of every class before and after forgetting {forgot}",
        ),
        "curves": (
            plots.curves(outcome.edit.curves),
            "Losses and forget accuracy over the epochs of the edit",
        ),
        "probe_landing": (
            plots.probe_landing(outcome.instructions.facts, record.classes),
            "Where the boundary probes landed, and how the forget classes' probability fell",
        ),
    }
    features = _features(record, outcome)
    if features is not None:
        drawn["features"] = (
            features,
            "Features of held-out rows before and after, in the parent's principal components",
        )
    inside = outcome.evaluation.features
    if inside is not None and inside.curves:
        drawn["relearn_curves"] = (
            feature_plots.relearn_curves(inside),
            "Accuracy on forgotten rows while each network learns them again from a few labels",
        )
    if inside is not None and inside.likeness:
        drawn["layer_likeness"] = (
            feature_plots.layer_likeness(inside),
            "How like the parent's each network's layers are on forgotten rows",
        )
    folder = record.folder / tags.PLOTS_FOLDER
    folder.mkdir(exist_ok=True)
    pictures = []
    for name, (figure, alt) in drawn.items():
        path = folder / f"{name}.png"
        finding = plots.save(figure, path)
        pictures.append(Picture(name=name, path=path, alt=f"{alt}. {finding}"))
    return pictures


def _features(record: Record, outcome: Outcome) -> "Figure | None":
    parts = rows_by_part(record.settings, record.forget, record.measured, record.classes)
    rows = _some_rows({part: rows for part, rows in parts.items() if part in HELD_OUT_PARTS})
    if rows is None:
        return None
    before, after = (
        predict(network, rows, device=record.device, with_features=True)
        for network in (record.parent.network, outcome.edit.model)
    )
    if before.features is None or after.features is None:
        return None
    return plots.features_2d(
        before.features, after.features, before.labels, record.classes, record.forgotten
    )


def _some_rows(parts: Mapping[Part, Rows]) -> TensorRows | None:
    found = []
    for rows in parts.values():
        with closing(rows.batches(PICTURED_ROWS, seed=0)) as batches:
            found.append(next(batches))
    if not found:
        return None
    return TensorRows(torch.cat([b.x for b in found]), torch.cat([b.y for b in found]))

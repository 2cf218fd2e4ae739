"""`lethe model card`: what is known of a version's training data without the data."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Json, Rev

if TYPE_CHECKING:
    from lethe.data.card_facts import ClassCard
    from lethe.data.training_card import TrainingCard

COLUMNS = [
    "class",
    "training rows",
    "held-out rows",
    "held-out accuracy",
    "median loss, training",
    "median loss, held-out",
    "",
]
STATUS = {"known": "", "few_rows": "too few rows", "forgotten": "forgotten"}


def card(
    version: Annotated[str, typer.Argument(help="NAME@ALIAS or NAME/NUMBER.")],
    dataset: Annotated[
        str | None,
        typer.Option(help="Make the card from this data set, the one it was trained on."),
    ] = None,
    rev: Rev = "HEAD",
    as_json: Json = False,
) -> None:
    """Print the training card of a version, or make one for a version that has none.

    It holds aggregates of the training and held-out rows and no row.

    Example: lethe model card digits/1
    """
    from cli.environment import prepare_environment
    from cli.output import note, out, print_json, print_table
    from lethe.settings import load_settings

    settings = load_settings()
    prepare_environment(settings)
    from tasks.card import version_card

    found = version_card(settings, version, dataset, rev)
    if found.made:
        note(f"Made the training card of {found.ref}.")
    if as_json:
        print_json({"version": str(found.ref), "made": found.made, **found.card.summary()})
        return
    facts = found.card.facts
    lines = [found.card.for_class(index) for index in range(len(found.card.classes))]
    rows = [_row(line, facts.min_rows) for line in lines]
    print_table(f"Training card of {found.ref}", COLUMNS, rows)
    out.print(_about(found.card), markup=False)


def _row(line: "ClassCard", min_rows: int) -> list[str]:
    measured = "" if line.held_out_accuracy is None else f"{line.held_out_accuracy:.2%}"
    remark = STATUS[line.status]
    if line.status == "known" and not line.held_out_loss_own:
        remark = f"fewer than {min_rows} held-out rows"
    return [
        line.name,
        str(line.train_rows),
        str(line.held_out_rows),
        measured,
        f"{line.train_loss[10]:.3g}" if line.train_loss is not None and line.train_loss_own else "",
        f"{line.held_out_loss[10]:.3g}"
        if line.held_out_loss is not None and line.held_out_loss_own
        else "",
        remark,
    ]


def _about(shown: "TrainingCard") -> str:
    facts = shown.facts
    size = shown.feature_means.shape[1]
    means = f"{size} values per class" if size else "none, the network has no linear layer"
    lines = (
        f"Describes: weights {facts.weights_sha256[:12]}…",
        f"Data: {facts.dataset} at {facts.git_rev[:12]}, DVC md5 {facts.dvc_md5}",
        f"Feature means: {means}",
        f"Fisher information: from {facts.fisher_rows} training rows, seed {facts.seed}",
        _people(shown),
        *facts.notes,
    )
    return "\n".join(lines)


def _people(shown: "TrainingCard") -> str:
    if shown.unseen is None:
        return "People never seen: none; made where the training recipe has `unseen_folds`"
    return (
        f"People never seen: losses of {len(shown.unseen)} people, from {shown.facts.unseen_folds} "
        f"networks; curvature of {len(shown.curvature)} layers"
    )

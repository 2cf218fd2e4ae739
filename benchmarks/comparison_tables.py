"""The tables of docs/benchmark.md, from the Parquet files in benchmarks/results.

    python benchmarks/comparison_tables.py            # prints Markdown
    python benchmarks/comparison_tables.py --write    # and into the page, pictures too

A test holds the page to it.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from cli.benchmark_tables import JUDGED, table
from lethe.evaluation.comparison.keep import About, read_rows
from lethe.evaluation.comparison.picture import pareto_plot, save_small
from lethe.evaluation.comparison.row import Row
from lethe.evaluation.comparison.summary import summarise
from lethe.evaluation.comparison.words import bars, title, who_is_ahead, why_refused

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmark.md"
PICTURES = ROOT / "docs" / "images"
SEEDS = 3  # of a usual comparison
PART = re.compile(r"(<!-- comparisons -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    """Print every comparison, or write them into the page."""
    if "--write" in sys.argv[1:]:
        draw()
        found = comparisons()
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(PART.sub(lambda part: f"{part[1]}{found}\n{part[2]}", page), "utf-8")
        return 0
    print(comparisons())
    return 0


def comparisons(folder: Path = RESULTS) -> str:
    """All at a glance, then a section for each file: command, table, PTE's bars, who is ahead."""
    paths = sorted(folder.glob("comparison_*.parquet"))
    found = {path.stem: read_rows(path) for path in paths}
    sections = [section(*one, name=name) for name, one in found.items()]
    return "\n\n".join([at_a_glance(list(found.values())), *sections])


def draw() -> None:
    """Draw every comparison into the page's pictures."""
    for path in sorted(RESULTS.glob("comparison_*.parquet")):
        rows, about = read_rows(path)
        figure = pareto_plot(summarise(rows), title(about, rows[0].target_kind))
        save_small(figure, PICTURES / f"{path.stem}.png")
        path.with_suffix(".png").unlink(missing_ok=True)  # drawn beside the rows when measured


def at_a_glance(found: Sequence[tuple[Sequence[Row], About]]) -> str:
    """The gap of every method in every comparison of classes; the best without retained rows bold.

    Methods are in the order of their mean rank, among those measured in the same comparison.
    """
    classes = [(summarise(rows), about) for rows, about in found if rows[0].target_kind == "class"]
    gaps: dict[str, dict[int, float]] = {}
    ranks: dict[str, list[float]] = {}
    best: dict[int, str] = {}
    for column, (lines, _) in enumerate(classes):
        for place, line in enumerate(lines):
            if line.gap is not None:
                name = f"{line.method}{'†' if line.needs == 'retain' else ''}"
                gaps.setdefault(name, {})[column] = line.gap.mean
                ranks.setdefault(name, []).append(place / len(lines))
        free = [line for line in lines if line.gap and line.needs not in {"", "retain"}]
        best[column] = free[0].method if free else ""

    def shown(name: str, column: int) -> str:
        if column not in gaps[name]:
            return ""
        figure = f"{100 * gaps[name][column]:.2f}"
        return f"**{figure}**" if best[column] == name else figure

    names = sorted(gaps, key=lambda name: fmean(ranks[name]))
    rows = [[name, *(shown(name, column) for column in range(len(classes)))] for name in names]
    return markdown(["method", *(_column(about) for _, about in classes)], rows)


def _column(about: About) -> str:
    """What a column of the overview is of."""
    some = f" {about.rows_per_class}/class" if about.rows_per_class else ""
    seeds = "" if about.seeds == SEEDS else f" {about.seeds} seed{'s' * (about.seeds > 1)}"
    return f"{about.data}{some}{seeds}{f' {about.budget} trials' if about.budget else ''}"


def section(rows: Sequence[Row], about: About, *, name: str) -> str:
    """One comparison as Markdown."""
    lines = summarise(rows)
    kind = rows[0].target_kind
    columns, cells = table(lines, kind)
    facts = (
        f"{about.train_rows:,} training rows, {about.held_out_rows:,} held-out; "
        f"{len(rows):,} cells; torch {about.versions['torch']}, {about.workers} processes. "
        f"Search budget: {about.search}. `benchmarks/results/{name}.parquet` has every cell."
    )
    heading = f"### {title(about, kind)}"
    shown = [heading, f"    {about.command}", facts, markdown(columns, cells)]
    judged = next((line for line in lines if line.method == JUDGED and line.gap), None)
    if kind == "class" and judged is not None and not about.budget:  # they are for its defaults
        shown.append(f"Bars of `{JUDGED}`: {'; '.join(map(_bar, bars(judged)))}.")
    shown += [words for words in (who_is_ahead(lines), why_refused(lines)) if words]
    picture = PICTURES / f"{name}.png"
    if picture.is_file():
        shown.append(f"![{title(about, kind)}: distance to retraining](images/{name}.png)")
    return "\n\n".join(shown)


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _bar(bar: object) -> str:
    name, measured, most, passed = (
        getattr(bar, field) for field in ("name", "measured", "most", "passed")
    )
    said = {True: "met", False: "**missed**", None: "not measured"}[passed]
    figure = "" if measured is None else f" {100 * measured:.2f}"
    return f"{name}{figure} of at most {100 * most:.1f}, {said}"


if __name__ == "__main__":
    sys.exit(main())

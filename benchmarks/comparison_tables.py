"""The tables of docs/benchmark.md, from the Parquet files in benchmarks/results.

    python benchmarks/comparison_tables.py            # prints Markdown
    python benchmarks/comparison_tables.py --write    # and into the page, pictures too

A test holds the page to it.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from cli.benchmark_tables import JUDGED, table, title
from lethe.evaluation.comparison.keep import About, read_rows
from lethe.evaluation.comparison.row import Row
from lethe.evaluation.comparison.summary import summarise
from lethe.evaluation.comparison.words import bars, who_is_ahead

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmark.md"
PICTURES = ROOT / "docs" / "images"
PART = re.compile(r"(<!-- comparisons -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    """Print every comparison, or write them into the page."""
    if "--write" in sys.argv[1:]:
        for picture in RESULTS.glob("comparison_*.png"):  # beside the rows, where it was drawn
            picture.replace(PICTURES / picture.name)
        found = comparisons()
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(PART.sub(lambda part: f"{part[1]}{found}\n{part[2]}", page), "utf-8")
        return 0
    print(comparisons())
    return 0


def comparisons(folder: Path = RESULTS) -> str:
    """A section for each file: how it was made, its table, PTE's bars, who is ahead."""
    paths = sorted(folder.glob("comparison_*.parquet"))
    return "\n\n".join(section(*read_rows(path), name=path.stem) for path in paths)


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
    if kind == "class" and judged is not None:
        shown.append(f"Bars of `{JUDGED}`: {'; '.join(map(_bar, bars(judged)))}.")
    shown.append(who_is_ahead(lines))
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

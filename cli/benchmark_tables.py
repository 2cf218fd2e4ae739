"""What the terminal shows of a comparison: its table, PTE's bars, and who is ahead."""

from collections.abc import Callable, Sequence
from dataclasses import asdict

from lethe.evaluation.comparison.keep import About
from lethe.evaluation.comparison.row import Row
from lethe.evaluation.comparison.summary import Interval, Line, summarise
from lethe.evaluation.comparison.words import bars, title, who_is_ahead, why_refused

JUDGED = "pte"
NEAR = (
    "gap: mean absolute difference to retraining in forgotten, retained and held-out accuracy, in "
    "points, with its 95 % t interval over seeds; forgotten, retained: its two sides. time: as a "
    "share of retraining. ●: beaten by no other in all three. †: learns from retained rows."
)
COST = "loss: of retained held-out accuracy, mean, in points; request: the largest of a request"
CLASSES = (
    f"left: accuracy on forgotten held-out rows, the worst request, in percent. {COST}; class: the "
    f"largest of one retained class."
)
PEOPLE = f"attack: mean absolute difference of the membership attack's area to retraining. {COST}."


def print_comparison(rows: list[Row], about: About, *, as_json: bool = False) -> None:
    """Print a comparison."""
    from cli.output import out, print_json, print_table

    lines = summarise(rows)
    if as_json:
        facts = about.model_dump(mode="json")
        print_json({"about": facts, "methods": [asdict(line) for line in lines]})
        return
    kind = rows[0].target_kind
    print_table(title(about, kind), *near(lines))
    out.print(NEAR)
    out.print()
    print_table("What is left, and what it cost", *cost(lines, kind))
    out.print(CLASSES if kind == "class" else PEOPLE)
    out.print(f"Search budget: {about.search}.")
    judged = next((line for line in lines if line.method == JUDGED and line.gap), None)
    if kind == "class" and judged is not None:
        out.print(f"\n[bold]Bars for {JUDGED}[/bold]")
        for bar in bars(judged):
            passed = {True: "met", False: "missed", None: "not measured"}[bar.passed]
            shown = _percent(bar.measured)
            out.print(f"{passed:7} {bar.name}: {shown}, at most {100 * bar.most:.1f}")
    out.print(f"\n{who_is_ahead(lines)}")
    if why := why_refused(lines):
        out.print(f"\n{why}")


Column = tuple[str, Callable[[Line], str]]


def near(lines: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows: how near each method comes to retraining, and in what time."""
    return _filled(_near(), lines)


def cost(lines: Sequence[Line], kind: str) -> tuple[list[str], list[list[str]]]:
    """Columns and rows: what each method left of what was to be forgotten, and what it cost."""
    return _filled([("method", _name), *_cost(kind)], lines)


def table(lines: Sequence[Line], kind: str) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of both, for a page that is wide enough."""
    return _filled([*_near(), *_cost(kind)], lines)


def _filled(columns: Sequence[Column], lines: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    return [name for name, _ in columns], [[show(line) for _, show in columns] for line in lines]


def _near() -> list[Column]:
    return [
        ("method", _name),
        ("gap", lambda line: _interval(line.gap)),
        ("forgotten", lambda line: _mean(line.forget_gap)),
        ("retained", lambda line: _mean(line.retained_gap)),
        ("time", lambda line: _decimal(line.time_share)),
    ]


def _cost(kind: str) -> list[Column]:
    if kind == "class":
        return [
            ("left", lambda line: _percent(line.forget_held_out_worst)),
            ("loss", lambda line: _interval(line.retained_loss)),
            ("request", lambda line: _percent(line.worst_request)),
            ("class", _worst_class),
            ("verdicts", _verdicts),
        ]
    return [
        ("attack", lambda line: _decimal(line.membership_gap)),
        ("loss", lambda line: _interval(line.retained_loss)),
        ("request", lambda line: _percent(line.worst_request)),
        ("verdicts", _verdicts),
    ]


def _name(line: Line) -> str:
    mark = "†" if line.needs == "retain" else ""
    return f"{line.method}{mark}{' ●' if line.on_front else ''}"


def _interval(found: Interval | None) -> str:
    if found is None:
        return "—"
    if found.high is None:
        return f"{100 * found.mean:.2f}"
    return f"{100 * found.mean:.2f} ± {100 * (found.high - found.mean):.2f}"


def _mean(found: Interval | None) -> str:
    return "—" if found is None else f"{100 * found.mean:.2f}"


def _decimal(found: Interval | None) -> str:
    return "—" if found is None else f"{found.mean:.3f}"


def _percent(share: float | None) -> str:
    return "—" if share is None else f"{100 * share:.2f}"


def _worst_class(line: Line) -> str:
    if line.worst_class_loss is None:
        return "—"
    return f"{100 * line.worst_class_loss:.2f} ({line.worst_class})"


def _verdicts(line: Line) -> str:
    counted = ", ".join(f"{name} {count}" for name, count in line.verdicts)
    failed = f"failed {line.failed}" if line.failed else ""
    return ", ".join(words for words in (counted, failed) if words) or "—"

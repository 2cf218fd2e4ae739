"""How the report writes figures."""

from datetime import datetime
from typing import Any

from lethe.evaluation.wording import POSITIONS, decimal


def percent(share: float | None) -> str:
    """A share in per cent, with one place."""
    if share is None:
        return "not measured"
    return unbroken("below 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %")


def unbroken(text: str) -> str:
    """The text with no line break between a figure and its per cent sign."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def gate_figure(name: str, value: float | None) -> str:
    """A gate's figure: a count, a position, a change in points or a share."""
    if value is None:
        return ""
    if name == "finite_outputs":
        return f"{value:.0f} rows"
    if name in POSITIONS:
        return decimal(value)
    unit = "points" if name.endswith(("_loss", "relapse")) else "%"
    return f"{_signed(100 * value, '.1f')} {unit}"


def points(change: float) -> str:
    """A change of a share in points, with its sign; the same figure as -0.0 is written 0.0."""
    return _signed(100 * change, "+.1f")


def _signed(value: float, form: str) -> str:
    """One place, with a real minus sign; what rounds to nothing has no sign."""
    rounded = round(value, 1)
    return f"{rounded:{form}}".replace("-", "\N{MINUS SIGN}") if rounded else "0.0"


def seconds(value: float) -> str:
    """A duration."""
    if value < 10:
        return f"{value:.2f} s"
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.1f} min"


def number(value: Any) -> str:
    """Four digits."""
    return "not measured" if value is None else f"{value:.4g}"


def three(value: float | None) -> str:
    """Three places."""
    return "not measured" if value is None else f"{value:.3f}"


def moment(value: datetime) -> str:
    """A time in UTC."""
    return f"{value:%Y-%m-%d %H:%M:%S} UTC"


FILTERS = {
    "percent": percent,
    "points": points,
    "seconds": seconds,
    "number": number,
    "three": three,
    "decimal": decimal,
    "moment": moment,
    "unbroken": unbroken,
}

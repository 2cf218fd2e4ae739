"""Deadlines by regulation, never later than the law allows.

- GDPR Art. 12(3): "without undue delay and in any event within one month of receipt", to be
  extended "by two further months where necessary". Regulation (EEC, Euratom) No 1182/71 Art.
  3(2)(c): a period in months ends with the last hour of the same date, or of the last day of a
  month that has no such date: 31 January, then 28 or 29 February.
- CCPA, Cal. Civ. Code 1798.130(a)(2)(A) and 11 CCR 7021(b): 45 calendar days from receipt, 90 in
  total with notice.

A period counts dates, and which date it is depends on where the controller is: 23:30 UTC on 28
February is 1 March in Berlin, so the same moment has a deadline of 28 March or of 1 April. Lethe
takes the earliest of the deadlines of all time zones, without the rest of the last day. So it is
the same time of day, one month on, and at the ends of months up to three days earlier than a
calendar says. It is never less than 28 days, nor more than 31, and what came in later is never due
earlier.

Art. 3(4) of that regulation lets a period that ends on a Saturday, Sunday or public holiday end
with the next working day. It is not used: holidays differ by country, and early harms nobody.

This is arithmetic, not legal advice.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from dateutil.relativedelta import relativedelta

# Local time is UTC-12 to UTC+14 (IANA time zone database: Etc/GMT+12, Pacific/Kiritimati).
_WEST, _EAST = timedelta(hours=12), timedelta(hours=14)
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Regulation:
    """Time to answer, counted from receipt, and by how much it can be extended."""

    name: str
    months: int = 0
    days: int = 0
    extension_months: int = 0
    extension_days: int = 0


GDPR = Regulation("gdpr", months=1, extension_months=2)
CCPA = Regulation("ccpa", days=45, extension_days=45)
BUILT_IN = {regulation.name: regulation for regulation in (GDPR, CCPA)}


def due_at(received_at: datetime, regulation: Regulation) -> datetime:
    """When the request must have been answered, UTC.

    Args:
        received_at: with a time zone.
        regulation: what counts.
    """
    return _end(received_at, relativedelta(months=regulation.months, days=regulation.days))


def extendable_to(received_at: datetime, regulation: Regulation) -> datetime:
    """The furthest the deadline can be moved, UTC; the deadline itself where it cannot.

    Counted from receipt in one step: 31 January leads to 30 April, not by 28 February to 28 April.

    Args:
        received_at: with a time zone.
        regulation: what counts.
    """
    months = regulation.months + regulation.extension_months
    days = regulation.days + regulation.extension_days
    return _end(received_at, relativedelta(months=months, days=days))


def _end(received_at: datetime, period: relativedelta) -> datetime:
    """The earliest end of the period in any time zone.

    Where it is the date d, the period ends when the date d + period ends, which comes soonest in
    the easternmost zone that still has the date d. For the last date there is, that zone is UTC+14.
    For another it is the zone where d is just ending, and the period then has whole days.
    """
    moment = received_at.astimezone(UTC)
    first, last = (moment - _WEST).date(), (moment + _EAST).date()
    ends = [moment + ((day + period) - day) for day in _dates(first, last)]
    return min([*ends, datetime.combine(last + period + _DAY, time(), UTC) - _EAST])


def _dates(first: date, last: date) -> list[date]:
    return [first + _DAY * n for n in range((last - first).days)]

from datetime import UTC, datetime, timedelta, timezone

import pytest
from dateutil.relativedelta import relativedelta
from hypothesis import given
from hypothesis import strategies as st

from lethe.deletion.policy.deadlines import CCPA, GDPR, Regulation, due_at, extendable_to

minutes = st.integers(0, 9 * 366 * 24 * 60).map(lambda n: timedelta(minutes=n))
moments = minutes.map(lambda passed: datetime(2024, 1, 1, tzinfo=UTC) + passed)
offsets = st.integers(-12 * 4, 14 * 4).map(lambda quarters: timedelta(minutes=15 * quarters))
OWN = Regulation("own", months=2, days=10, extension_days=5)


def at(text):
    return datetime.fromisoformat(f"{text}+00:00")


@pytest.mark.parametrize(
    ("received", "due"),
    [
        ("2026-11-21T08:30", "2026-12-21T08:30"),
        ("2026-12-15T00:00", "2027-01-15T00:00"),
        ("2026-01-31T12:00", "2026-02-28T12:00"),
        ("2028-01-31T12:00", "2028-02-29T12:00"),
        ("2026-03-31T12:00", "2026-04-30T12:00"),
        # 1 March in the east, still 28 February in the west: the earlier of the two deadlines.
        ("2026-02-28T23:30", "2026-03-28T23:30"),
        ("2026-03-01T02:00", "2026-03-29T02:00"),
        ("2026-03-01T12:00", "2026-04-01T12:00"),
    ],
)
def test_one_month_of_the_gdpr(received, due):
    assert due_at(at(received), GDPR) == at(due)


def test_the_extension_counts_from_receipt():
    assert extendable_to(at("2026-01-31T12:00"), GDPR) == at("2026-04-30T12:00")
    assert extendable_to(at("2026-11-21T08:30"), GDPR) == at("2027-02-21T08:30")


def test_the_ccpa_counts_days():
    received = at("2026-01-31T12:00")
    assert due_at(received, CCPA) - received == timedelta(days=45)
    assert extendable_to(received, CCPA) - received == timedelta(days=90)


def test_the_time_zone_of_the_clock_does_not_matter():
    received = at("2026-01-31T23:30")
    there = received.astimezone(timezone(timedelta(hours=9)))
    assert due_at(there, GDPR) == due_at(received, GDPR)
    assert due_at(there, GDPR).tzinfo is UTC


@given(moments)
def test_a_month_has_28_to_31_days(received):
    assert timedelta(days=28) <= due_at(received, GDPR) - received <= timedelta(days=31)


@given(moments, moments, st.sampled_from([GDPR, CCPA, OWN]))
def test_what_came_later_is_not_due_earlier(one, other, regulation):
    first, second = sorted([one, other])
    assert due_at(first, regulation) <= due_at(second, regulation)
    assert extendable_to(first, regulation) <= extendable_to(second, regulation)


@given(moments, st.sampled_from([GDPR, CCPA, OWN]))
def test_an_extension_extends(received, regulation):
    assert received < due_at(received, regulation) < extendable_to(received, regulation)


@given(moments, offsets, st.sampled_from([GDPR, CCPA, OWN]))
def test_it_is_never_later_than_the_law_allows_anywhere(received, offset, regulation):
    there = timezone(offset)
    day = received.astimezone(there).date()
    last = day + relativedelta(months=regulation.months, days=regulation.days)
    end = datetime(last.year, last.month, last.day, tzinfo=there) + timedelta(days=1)
    assert due_at(received, regulation) <= end

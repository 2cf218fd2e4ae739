"""The table's arithmetic, against figures worked out by hand."""

import pytest

from lethe.evaluation.comparison.row import Row, mean_gap
from lethe.evaluation.comparison.summary import NOTHING_DONE, interval, over_seeds, summarise
from lethe.evaluation.comparison.words import bars, contenders, who_is_ahead, why_refused


def cell(method="pte", seed=0, target="3", needs="forget_only", **figures):
    """A row of which the retrained network is right on 0 %, 0 %, 100 % and 90 %."""
    after = {"forget_train": 0.0, "retained_train": 1.0, "retained_held_out": 0.9}
    after |= {k: figures.pop(k) for k in list(figures) if k in after}
    there = {"forget_train": 0.0, "retained_train": 1.0, "retained_held_out": 0.9}
    known = {
        **{f"after_{part}": value for part, value in after.items()},
        **{f"retrained_{part}": value for part, value in there.items()},
        **{f"gap_{part}": after[part] - there[part] for part in there},
        "before_forget_train": 1.0,
        "before_retained_train": 1.0,
        "before_retained_held_out": 0.93,
        "after_forget_held_out": 0.0,
        "retrained_forget_held_out": 0.0,
        "gap_forget_held_out": 0.0,
        "retained_loss": 0.93 - after["retained_held_out"],
        "worst_class": "7",
        "worst_class_loss": 0.02,
        "cpu_ratio": 0.1,
        "seconds": 1.0,
        "verdict": "suppressed",
    }
    known["gap"] = mean_gap(known)
    return Row(
        data="digits", target_kind="class", target=target, seed=seed, method=method, needs=needs,
        options="{}", budget=0, trials=0, search_seconds=0.0,
        **{"device": "cpu", **known, **figures},
    )  # fmt: skip


def test_the_interval_is_students_t_over_seeds():
    """Mean 2, deviation 1, t of 0.975 with two degrees of freedom 4.30265: 4.30265 / sqrt(3)."""
    found = interval([1.0, 2.0, 3.0])
    assert found.mean == 2
    assert (found.low, found.high) == pytest.approx((2 - 2.484138, 2 + 2.484138), abs=1e-5)


def test_one_seed_has_a_mean_and_no_interval():
    assert interval([0.25]) == interval([0.25]).__class__(0.25)


def test_requests_are_averaged_within_a_seed_before_seeds_are():
    """Seed 0 has three requests, seed 1 one: (0.3 + 0.1) / 2, not the mean of all four."""
    rows = [cell(target=str(n), gap=value) for n, value in enumerate((0.2, 0.3, 0.4))]
    found = over_seeds([*rows, cell(seed=1, gap=0.1)], lambda row: row.gap)
    assert found.mean == pytest.approx(0.2)


def test_the_gap_is_the_mean_of_three_absolute_differences():
    """0.06 on forget rows, 0.03 on retained training rows, none held-out: 0.09 / 3."""
    (line, _) = summarise([cell(forget_train=0.06, retained_train=0.97)])
    assert line.gap.mean == pytest.approx(0.03)
    assert line.forget_gap.mean == pytest.approx(0.06)
    assert line.retained_gap.mean == pytest.approx(0.015)


def test_parts_that_were_not_measured_are_no_gap_of_zero():
    measured = {"gap_forget_train": 0.5, "gap_retained_train": None, "gap_retained_held_out": -0.1}
    assert mean_gap(measured) == pytest.approx(0.3)
    assert mean_gap(dict.fromkeys(measured)) is None


def test_lines_go_by_the_gap_and_doing_nothing_is_one_of_them():
    """The original is right on all forget rows and 3 points better held-out: (1 + 0 + 0.03) / 3."""
    rows = [cell("far", retained_train=0.8), cell("near"), cell("middle", retained_train=0.97)]
    lines = summarise(rows)
    assert [line.method for line in lines] == ["near", "middle", "far", NOTHING_DONE]
    assert lines[-1].gap.mean == pytest.approx(1.03 / 3)
    assert lines[-1].cells == 1
    assert lines[-1].verdicts == ()


def test_the_worst_are_worst_of_all_requests_and_seeds():
    rows = [
        cell(seed=0, retained_held_out=0.92, worst_class="1", worst_class_loss=0.30),
        cell(seed=1, retained_held_out=0.88, worst_class="2", worst_class_loss=0.10),
        cell(seed=1, target="4", after_forget_held_out=0.25),
    ]
    line = summarise(rows)[0]
    assert line.worst_request == pytest.approx(0.05)
    assert (line.worst_class, line.worst_class_loss) == ("1", 0.30)
    assert line.forget_held_out_worst == 0.25
    assert line.verdicts == (("suppressed", 3),)


def test_what_failed_is_counted_and_in_no_mean():
    failed = Row(
        "digits", "class", "4", 0, "pte", "forget_only", "{}", 0, 0, 0.0, "cpu", failed="x"
    )
    line = summarise([cell(forget_train=0.03), failed])[0]
    assert (line.cells, line.failed) == (2, 1)
    assert line.gap.mean == pytest.approx(0.01)
    (only,) = summarise([failed])
    assert only.gap is None


def test_the_front_leaves_out_who_is_beaten_in_everything():
    rows = [
        cell("slow_and_near", cpu_ratio=0.9),
        cell("fast_and_far", retained_train=0.9, cpu_ratio=0.1),
        cell("beaten", retained_train=0.9, cpu_ratio=0.2),
        cell("retrain", cpu_ratio=0.05),
    ]
    on = {line.method for line in summarise(rows) if line.on_front}
    assert on == {"slow_and_near", "fast_and_far"}


def test_two_data_sets_make_no_table():
    other = cell()
    with pytest.raises(ValueError, match="not 2"):
        summarise([cell(), Row(**{**other.__dict__, "data": "cwru"})])


def test_bars_are_met_at_the_limit_and_missed_above_it():
    kept = cell(retained_held_out=0.925)  # 0.5 points lost
    line = next(line for line in summarise([kept]) if line.method == "pte")
    assert [bar.passed for bar in bars(line)] == [True, True, True]
    lost = cell(retained_held_out=0.91, after_forget_held_out=0.006)
    line = next(line for line in summarise([lost]) if line.method == "pte")
    assert [bar.passed for bar in bars(line)] == [False, False, False]


def test_who_is_ahead_says_where_the_gap_lies_and_what_is_chance():
    rows = [
        *(cell("pte", seed, retained_train=0.994 + 0.003 * seed) for seed in (0, 1)),
        *(cell("delete", seed, retained_train=0.991 + 0.003 * seed) for seed in (0, 1)),
        *(cell("retrain", seed, retained_train=0.985, needs="retain") for seed in (0, 1)),
    ]
    lines = summarise(rows)
    assert [line.method for line in contenders(lines)] == ["pte", "delete"]
    said = who_is_ahead(lines)
    assert said.startswith("pte is nearest to retraining, 0.15 points on average")
    assert "0.00 points on forgotten rows, 0.23 points on retained ones" in said
    assert "the order may be chance" in said
    assert "Two retrainings with different seeds are 0.50 points apart" in said


def test_a_lead_beyond_both_intervals_is_not_called_chance():
    rows = [
        cell(name, seed, retained_train=base + 0.0001 * seed)
        for name, base in (("pte", 0.999), ("delete", 0.9))
        for seed in (0, 1, 2)
    ]
    assert "chance" not in who_is_ahead(summarise(rows))


def test_a_leader_with_retained_rows_is_not_the_only_one_named():
    rows = [cell("scrub", needs="retain"), cell("pte", retained_train=0.9)]
    said = who_is_ahead(summarise(rows))
    assert "scrub is nearest" in said
    assert "Of those without retained rows: pte is nearest" in said


def test_gates_are_counted_by_cell_and_told_of_the_methods_nearest_first():
    rows = [
        cell(failed_gates="class_loss,remembered"),
        cell(target="4", failed_gates="remembered"),
        cell(target="5", failed_gates=""),
        cell("worse", forget_train=0.5, failed_gates="class_loss"),
        cell("retrain", needs="retain", failed_gates="class_loss"),
    ]
    assert why_refused(summarise(rows)) == (
        "Gates that were not passed, by cells: pte: class_loss 1, remembered 2; "
        "worse: class_loss 1."
    )
    assert not why_refused(summarise([cell()]))  # rows from before there was the column


def test_time_is_the_processors_and_on_an_accelerator_the_clocks():
    (line, _) = summarise([cell(cpu_ratio=0.3, time_ratio=0.7)])
    assert line.time_share.mean == 0.3
    (line, _) = summarise([cell(cpu_ratio=0.3, time_ratio=0.7, device="NVIDIA H100")])
    assert line.time_share.mean == 0.7

"""The feature level of four real networks: a head-only edit is seen through."""

import json

import pytest
import torch

from lethe.data.rows import TensorRows
from lethe.evaluation.feature_level.class_means import class_means
from lethe.evaluation.feature_level.layers import FEATURES, capture
from lethe.evaluation.feature_level.measure import measure_features
from lethe.evaluation.feature_level.readings import FeatureLevel
from lethe.evaluation.feature_level.row_membership import row_membership
from lethe.evaluation.feature_level.samples import FORGET_ROWS, RETAINED_ROWS, draw
from lethe.evaluation.feature_level.settings import RelearnSettings
from lethe.evaluation.results import Part

CPU = torch.device("cpu")
FORGOTTEN = 3
QUICK = RelearnSettings(steps=20, every=4, held_out_rows=60)


@pytest.fixture(scope="session")
def by_part(parts):
    return {
        Part.FORGET_TRAIN: parts.forget,
        Part.FORGET_HELD_OUT: parts.forget_held_out,
        Part.RETAINED_TRAIN: parts.retained,
        Part.RETAINED_HELD_OUT: parts.retained_held_out,
    }


def look(networks, successor, given, *, references=("fresh", "retrained"), **named):
    chosen = {"original": networks["original"], "successor": networks[successor]}
    chosen |= {name: networks[name] for name in references}
    return measure_features(
        chosen, given, forgotten=[FORGOTTEN], device=CPU, relearning=QUICK, **named
    )


@pytest.fixture(scope="session")
def head_only_found(networks, by_part):
    return look(networks, "head_only", by_part)


def positions(found):
    return {one.name: one.position for one in found.telling}


def test_a_head_only_edit_stands_where_the_original_does_in_every_reading(head_only_found):
    found = positions(head_only_found)
    assert set(found) >= {"relearn", "likeness"}
    assert all(at == pytest.approx(1, abs=0.05) for at in found.values())
    assert head_only_found.reference == "retrained"


def test_a_retrained_network_stands_at_its_own_reference(networks, by_part):
    assert set(positions(look(networks, "retrained", by_part)).values()) == {0.0}
    fresh = look(networks, "fresh", by_part, references=("fresh",))
    assert fresh.reference == "fresh"
    assert set(positions(fresh).values()) == {0.0}


def test_every_network_has_its_probe_curve_and_layers(head_only_found):
    names = {"original", "successor", "fresh", "retrained"}
    assert {one.network for one in head_only_found.curves} == names
    assert {one.network for one in head_only_found.probes} == names
    assert {one.network for one in head_only_found.likeness} == names - {"original"}
    for one in head_only_found.likeness:
        assert one.layers[-1].layer == FEATURES


def test_forget_rows_alone_give_what_needs_no_retained_data(networks, by_part, parts):
    seen = capture(networks["original"], parts.train, [FEATURES], device=CPU, limit=10_000)
    means = class_means(seen.by_layer[FEATURES], seen.labels)
    alone = {part: by_part[part] for part in (Part.FORGET_TRAIN, Part.FORGET_HELD_OUT)}
    found = look(networks, "head_only", alone, means=means)
    assert {one.name for one in found.readings} == {"likeness", "original_means"}
    assert {one.needs for one in found.readings} == {"forget_rows"}
    assert (found.curves, found.probes, found.labelled) == ((), (), 0)
    assert positions(found)["original_means"] == pytest.approx(1, abs=0.05)


def test_an_evaluation_shard_takes_the_place_of_retained_training_rows(networks, by_part):
    shard = {part: rows for part, rows in by_part.items() if part is not Part.RETAINED_TRAIN}
    found = look(networks, "head_only", shard)
    assert "relearn" in {one.name for one in found.readings}
    sample = draw(shard, seed=0)
    learned, measured = sample.retained, sample.retained_held_out
    assert len(learned) + len(measured) == min(RETAINED_ROWS, len(by_part[Part.RETAINED_HELD_OUT]))
    both = torch.cat([learned.x, measured.x]).flatten(1)
    assert len(both.unique(dim=0)) == len(both)  # none is learned from and measured on


def test_samples_are_bounded_the_same_every_time_and_of_known_labels_only(parts):
    many = TensorRows(parts.train.x.repeat(3, 1, 1, 1), parts.train.y.repeat(3))
    unknown = TensorRows(many.x, torch.where(many.y == 0, -1, many.y))
    given = {Part.FORGET_TRAIN: many, Part.RETAINED_TRAIN: unknown}
    one, again = draw(given, seed=1), draw(given, seed=1)
    # Each side is halved where there are no held-out rows.
    assert len(one.forget) + len(one.forget_held_out) <= FORGET_ROWS
    assert torch.equal(one.forget.x, again.forget.x)
    assert (one.retained.y >= 0).all()
    assert one.total == len(many) + len(unknown)


def test_nothing_to_look_at_is_no_feature_level(networks, by_part):
    retained = {Part.RETAINED_TRAIN: by_part[Part.RETAINED_TRAIN]}
    assert look(networks, "head_only", retained) is None


def test_it_survives_json_and_names_every_figure(head_only_found):
    again = FeatureLevel.model_validate_json(head_only_found.model_dump_json())
    assert again == head_only_found
    figures = head_only_found.figures()
    assert figures["relearn.original"] == figures["relearn.successor"]
    assert json.dumps(figures)


def test_single_rows_are_read_by_likeness_and_by_membership_of_features(networks, by_part):
    chosen = {"original": networks["original"], "successor": networks["head_only"]}
    chosen["retrained"] = networks["retrained"]
    found = measure_features(chosen, by_part, forgotten=[], device=CPU)
    assert {one.name for one in found.readings} == {"likeness", "feature_membership"}
    without_held_out = {Part.FORGET_TRAIN: by_part[Part.FORGET_TRAIN]}
    found = measure_features(chosen, without_held_out, forgotten=[], device=CPU)
    assert {one.name for one in found.readings} == {"likeness"}


def test_membership_of_features_finds_what_is_planted_and_nothing_else():
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(200, 5, generator=generator) for _ in range(2))
    nothing = row_membership(one, other, seed=0)
    assert nothing.low < 0.55
    planted = row_membership(one + torch.tensor([2.0, 0, 0, 0, 0]), other, seed=0)
    assert planted.auc > 0.85
    assert row_membership(one[:4], other, seed=0) is None
    assert row_membership(one * float("nan"), other, seed=0) is None

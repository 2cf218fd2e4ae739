import hashlib
import json
from datetime import timedelta, timezone
from pathlib import Path

import jsonschema
import pytest
from audit_statements import NOON, REFUSAL, REQUEST, A, B, content, statement
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lethe.audit.fields import flat_settings
from lethe.audit.predicate import Gate, Method, Predicate
from lethe.audit.statement import PREDICATE_TYPE, Statement, canonical_bytes, digest
from lethe.audit.verify.content import content_problems


def test_the_outside_is_an_in_toto_statement_about_the_successor():
    outside = json.loads(canonical_bytes(statement()))
    assert set(outside) == {"_type", "subject", "predicateType", "predicate"}
    assert outside["_type"] == "https://in-toto.io/Statement/v1"
    assert outside["subject"] == [{"name": "models:/digits/2", "digest": {"sha256": B}}]
    assert outside["predicateType"] == "https://lethe.dev/statement/v0.4"


def test_a_refusal_is_about_the_parent_which_stays():
    outside = json.loads(canonical_bytes(statement(**REFUSAL)))
    assert outside["subject"] == [{"name": "models:/digits/1", "digest": {"sha256": A}}]
    assert outside["predicate"]["successor"] is None


def test_it_comes_back_from_its_own_bytes():
    for one in (statement(), statement(**REFUSAL)):
        written = canonical_bytes(one)
        assert canonical_bytes(Statement.model_validate_json(written)) == written
        assert digest(one) == hashlib.sha256(written).hexdigest()


def test_every_change_changes_the_digest():
    digests = {
        digest(statement(**change))
        for change in ({}, {"run_id": "other"}, {"reason": "Another."}, REFUSAL)
    }
    assert len(digests) == 4


def test_times_are_written_in_utc():
    there = NOON.astimezone(timezone(timedelta(hours=8)))
    moved = statement(times={"started": there, "finished": there})
    assert b'"started":"2026-11-21T12:00:00Z"' in canonical_bytes(moved)


scalars = st.one_of(
    st.booleans(),
    st.none(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
)


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), scalars),
    st.integers(-(2**64), 2**64),
    st.randoms(use_true_random=False),
)
def test_bytes_do_not_depend_on_the_order_of_keys(settings, seed, order):
    def shuffled(value):
        if isinstance(value, dict):
            items = [(key, shuffled(item)) for key, item in value.items()]
            order.shuffle(items)
            return dict(items)
        return value

    plain = content(method={"name": "m", "settings": settings, "seed": seed})
    written = canonical_bytes(Statement.of(Predicate.model_validate(plain)))
    again = Statement.of(Predicate.model_validate(shuffled(plain)))
    assert canonical_bytes(again) == written
    assert canonical_bytes(Statement.model_validate_json(written)) == written


def test_bytes_are_those_that_any_reader_of_json_can_rebuild():
    """Sorted keys and no spaces: for ASCII keys that is RFC 8785, done by another library."""
    written = canonical_bytes(statement())
    rebuilt = json.dumps(json.loads(written), sort_keys=True, separators=(",", ":"))
    assert rebuilt.encode() == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1 / 3, b"0.333333"),
        (1.23456789e-7, b"1.23457e-7"),
        (98765.4321, b"98765.4"),
        (1.0, b"1"),
        (2**53 - 1, b"9007199254740991"),
        (2**53, b'"9007199254740992"'),
        (-(2**60), b'"-1152921504606846976"'),
        (9007195000000000.0, b'"9007200000000000"'),
        (1e30, b"1e+30"),
        (True, b"true"),
    ],
)
def test_how_numbers_are_written(value, written):
    method = {"name": "m", "settings": {"value": value}, "seed": 0}
    assert b'"settings":{"value":' + written + b"}" in canonical_bytes(statement(method=method))


def test_a_large_seed_comes_back_as_a_number():
    one = statement(method={"name": "m", "settings": {}, "seed": 2**63})
    back = Statement.model_validate_json(canonical_bytes(one))
    assert back.predicate.method.seed == 2**63


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_figures_that_are_not_numbers_are_refused(value):
    with pytest.raises(ValidationError):
        statement(figures={"drift.kl": value})
    with pytest.raises(ValidationError):
        Gate.model_validate({**content()["gates"][0], "measured": value})
    with pytest.raises(ValidationError):
        Method(name="m", settings={"rate": value}, seed=0)


def changed(section, **fields):
    return {section: {**content()[section], **fields}}


@pytest.mark.parametrize(
    "changes",
    [
        {"successor": None},
        {"verdict": "refused"},
        {"requests": ()},
        {"requests": (REQUEST, REQUEST)},
        {"requests": ({**REQUEST, "kind": "subject"},)},
        changed("parent", version=7),
        changed("data", git_rev="HEAD"),
        changed("times", finished=NOON - timedelta(seconds=1)),
        changed("times", started=NOON.replace(tzinfo=None)),
        {"not_covered": ()},
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_what_contradicts_itself_is_refused(changes):
    with pytest.raises(ValidationError):
        statement(**changes)


def test_a_subject_of_another_version_is_refused():
    forged = json.loads(canonical_bytes(statement()))
    forged["subject"][0]["digest"]["sha256"] = A
    with pytest.raises(ValidationError, match="subject"):
        Statement.model_validate_json(json.dumps(forged))


def test_settings_are_flattened():
    nested = {"adam": {"betas": (0.9, 0.99), "rate": 1e-3}, "steps": [], "mask": None}
    flat = flat_settings(nested)
    assert flat == {"adam.betas": "0.9, 0.99", "adam.rate": 1e-3, "steps": "", "mask": None}
    Method(name="m", settings=flat, seed=0)


SCHEMA = json.loads(
    (Path(__file__).parents[3] / "docs" / "statement.schema.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("changes", [{}, REFUSAL, {"evaluation": None}, {"figures": {"a": 1e-9}}])
def test_what_is_written_is_valid_by_the_published_schema(changes):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    written = json.loads(canonical_bytes(statement(**changes)))
    assert list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(written)) == []


def test_a_seed_beyond_what_json_readers_keep_is_valid_too():
    method = {"name": "pte", "settings": {}, "seed": 2**60}
    written = json.loads(canonical_bytes(statement(method=method)))
    assert list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(written)) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.update(_type="other"),
        lambda one: one["predicate"].update(verdict="forgotten"),
        lambda one: one["predicate"].update(extra=1),
        lambda one: one["predicate"].pop("not_covered"),
        lambda one: one["predicate"]["record"].update(sequence=0),
        lambda one: one["predicate"]["data"].update(rows_root="short"),
        lambda one: one["predicate"]["requests"][0].update(ticket="anna@example.org"),
    ],
)
def test_the_published_schema_refuses_what_is_no_statement(change):
    written = json.loads(canonical_bytes(statement()))
    change(written)
    assert list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(written))


def test_another_in_toto_library_reads_it():
    from google.protobuf.json_format import ParseDict
    from in_toto_attestation.v1.statement_pb2 import Statement as Theirs

    theirs = ParseDict(json.loads(canonical_bytes(statement())), Theirs())
    assert theirs.predicate_type == PREDICATE_TYPE
    assert theirs.subject[0].digest["sha256"] == B


OLD = Path(__file__).with_name("statement_v0_3.json")
OLD_DIGEST = "b3f961299f0a3eec8b15fa7f8c878449d3e5fc0e6783dd45558f38d464fe6b94"


def test_a_statement_of_the_version_before_is_read_and_keeps_its_digest():
    one = Statement.model_validate_json(OLD.read_bytes())
    assert one.predicate_type == "https://lethe.dev/statement/v0.3"
    assert one.predicate.choice is None
    assert canonical_bytes(one) == OLD.read_bytes()
    assert digest(one) == OLD_DIGEST
    assert content_problems(json.loads(OLD.read_bytes()), OLD_DIGEST) == []
    assert (
        list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(json.loads(OLD.read_bytes())))
        == []
    )


def rung(method="pte", outcome="accepted", **more):
    return {"method": method, "because": "It is first.", "outcome": outcome, **more}


HERE = {"run_id": content()["run_id"]}
FACTS = {"kind": "class", "rows": 137, "share": 0.1}
CLIMBED = {
    "facts": FACTS,
    "rungs": (
        rung("delete", "refused", said="Too much was lost.", run_id="aaaa"),
        rung(settings={"epochs": 5}, **HERE),
        rung("retrain", "not_tried"),
    ),
    "at": 1,
    "left_out": ({"method": "calibrated", "because": "There is no card."},),
    "search": {
        "budget": 3,
        "trials": (
            {"settings": {}, "forgotten": 1.0, "drift": 0.25, "score": 0.2},
            {"settings": {"epochs": 5}, "forgotten": 1.0, "drift": 0.125, "score": 0.1},
            {"settings": {"epochs": 9}, "forgotten": 0.0, "drift": None, "score": 2.0},
        ),
        "best": 1,
        "seconds": 1.5,
    },
}


def test_a_choice_is_written_step_by_step_and_comes_back():
    one = statement(choice=CLIMBED)
    written = canonical_bytes(one)
    assert Statement.model_validate_json(written) == one
    assert content_problems(json.loads(written), digest(one)) == []
    assert list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(json.loads(written))) == []
    assert [step["outcome"] for step in json.loads(written)["predicate"]["choice"]["rungs"]] == [
        "refused", "accepted", "not_tried",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"rungs": (rung("delete", **HERE),), "at": 0},
        {"rungs": (rung(run_id="other"),), "at": 0},
        {"rungs": (rung(outcome="refused", **HERE),), "at": 0},
        {"rungs": (rung("delete", "not_tried"), rung(**HERE))},
        {"rungs": (rung(**HERE), rung("delete", "refused")), "at": 0},
        {"at": 3},
        {"at": 2},
        {"search": CLIMBED["search"] | {"best": 3}},
        {"search": CLIMBED["search"] | {"budget": 2}},
        {"rungs": ()},
    ],
)
def test_a_choice_that_contradicts_itself_or_the_verdict_is_refused(change):
    with pytest.raises(ValidationError):
        statement(choice=CLIMBED | change)


def test_the_version_before_has_no_room_for_a_choice():
    plain = json.loads(canonical_bytes(statement(choice=CLIMBED)))
    plain["predicateType"] = "https://lethe.dev/statement/v0.3"
    with pytest.raises(ValidationError, match="no choice"):
        Statement.model_validate_json(json.dumps(plain))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": "delete"}, "another method or run"),
        ({"run_id": "other"}, "another method or run"),
        ({"outcome": "refused"}, "otherwise than its verdict"),
    ],
)
def test_the_verifier_without_our_models_sees_that_too(change, words):
    forged = json.loads(canonical_bytes(statement(choice=CLIMBED)))
    forged["predicate"]["choice"]["rungs"][1].update(change)
    assert any(words in one for one in content_problems(forged))
    forged["predicate"]["choice"]["rungs"][0]["outcome"] = "not_tried"
    assert any("had not failed" in one for one in content_problems(forged))

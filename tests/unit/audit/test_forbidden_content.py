"""The statement's types leave no room for ids of samples or people, text of tickets, or secrets."""

import json
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from lethe.audit.predicate import Data, Method, Predicate, Request
from lethe.audit.statement import Statement

REQUEST = {
    "id": "req-1",
    "ground": "GDPR Art. 17",
    "received_at": "2026-11-21T12:00:00Z",
    "kind": "samples",
    "source": "privacy-issues",
    "regulation": "gdpr",
}
DATA = {
    "repository": ".",
    "path": "data/digits",
    "git_rev": "c" * 40,
    "dvc_md5": "d" * 32,
    "kind": "samples",
    "count": 2,
    "held_out_count": 0,
    "total": 10,
    "set_digest": "e" * 64,
    "rows_root": "9" * 64,
}
IDS = ["patient-17", "patient-18"]


def read(model, fields):
    return model.model_validate_json(json.dumps(fields))


def places(schema: dict, path: str = "") -> Iterator[tuple[str, dict]]:
    """Every place of a JSON schema with what may stand there, references resolved."""
    definitions = Statement.model_json_schema()["$defs"]
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rsplit("/", 1)[1]]
    yield path, schema
    for option in schema.get("anyOf", []):
        yield from places(option, path)
    for name, field in schema.get("properties", {}).items():
        yield from places(field, f"{path}.{name}")
    if schema.get("type") == "array":
        inner = schema.get("items") or schema["prefixItems"][0]
        yield from places(inner, f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from places(schema["additionalProperties"], f"{path}{{}}")


ALL = list(places(Statement.model_json_schema()))


def test_lists_and_free_mappings_are_only_those_known_to_hold_no_ids():
    lists = {path for path, schema in ALL if schema.get("type") == "array"}
    assert lists == {".subject", ".predicate.gates", ".predicate.not_covered",
                     ".predicate.data.classes", ".predicate.requests",
                     ".predicate.requests[].approved_by", ".predicate.choice.rungs",
                     ".predicate.choice.left_out", ".predicate.choice.search.trials"}  # fmt: skip
    mappings = {path for path, _ in ALL if path.endswith("{}")}
    assert mappings == {".predicate.method.settings{}", ".predicate.compute.seconds{}",
                        ".predicate.figures{}", ".predicate.choice.facts{}",
                        ".predicate.choice.rungs[].settings{}",
                        ".predicate.choice.search.trials[].settings{}"}  # fmt: skip


def test_no_section_takes_a_field_beyond_those_named():
    objects = [(path, schema) for path, schema in ALL if "properties" in schema]
    assert len(objects) >= 12
    assert [
        path for path, schema in objects if schema.get("additionalProperties") is not False
    ] == []


def test_every_text_is_bounded():
    texts = [(path, s) for path, s in ALL if s.get("type") == "string" and "format" not in s]
    loose = [p for p, s in texts if not {"maxLength", "pattern", "enum", "const"} & set(s)]
    assert len(texts) > 15
    assert loose == []


@pytest.mark.parametrize("field", ["sample_ids", "subject_ids", "ids", "samples", "selection"])
def test_ids_find_no_field(field):
    for model, fields in ((Request, REQUEST), (Data, DATA)):
        read(model, fields)
        with pytest.raises(ValidationError, match="Extra inputs"):
            read(model, {**fields, field: IDS})


@pytest.mark.parametrize("kind", ["samples", "subject"])
def test_ids_cannot_pose_as_class_names(kind):
    with pytest.raises(ValidationError, match="whole classes"):
        read(Data, {**DATA, "kind": kind, "classes": IDS})


def test_ids_cannot_pose_as_settings():
    with pytest.raises(ValidationError):
        read(Method, {"name": "m", "settings": {"ids": IDS}, "seed": 0})


@pytest.mark.parametrize(
    "ticket", ["anna@example.org", "Please delete my data", "a\nb", "", "x" * 300]
)
def test_a_ticket_is_named_by_its_key_alone(ticket):
    with pytest.raises(ValidationError):
        read(Request, {**REQUEST, "ticket": ticket})
    read(Request, {**REQUEST, "ticket": "servicedesk/DPO-17#2"})


def test_a_ground_is_a_phrase_without_addresses():
    for ground in ("asked by anna@example.org", "first line\nsecond line", "x" * 300):
        with pytest.raises(ValidationError):
            read(Request, {**REQUEST, "ground": ground})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://anna:token@example.org/data.git?key=1#x", "https://example.org/data.git"),
        ("https://token@example.org:8443/data.git", "https://example.org:8443/data.git"),
        ("s3://bucket/data?X-Amz-Signature=abc", "s3://bucket/data"),
        ("git@example.org:team/data.git", "git@example.org:team/data.git"),
        (".", "."),
    ],
)
def test_credentials_in_addresses_are_dropped(given, kept):
    assert read(Data, {**DATA, "repository": given}).repository == kept


def test_the_whole_predicate_is_under_test():
    assert {path.split(".")[2].replace("[]", "") for path, _ in ALL if path.count(".") >= 2} >= {
        name.replace("[]", "") for name in ("requests", "parent", "data", "method", "times")
    }
    assert set(Predicate.model_fields) >= {"requests", "data", "gates", "not_covered"}

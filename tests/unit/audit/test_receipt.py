"""Receipts: what they prove, what they keep to themselves, and that no change passes."""

import ast
import copy
import hashlib
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lethe.audit import merkle, receipt
from lethe.audit.receipt import ForgottenRows, make_receipt, verify_receipt

KEY = b"k" * 32
DIGEST = "d" * 64
IDS = [f"person-{number}/row" for number in range(11)]
NAMED = {"statement_sha256": DIGEST, "sequence": 4, "model": "models:/digits/2", "request": "req-1"}
SAID = {"statement_sha256": DIGEST, "sequence": 4, "model": "models:/digits/2"}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def made(own=(IDS[2], IDS[7]), ids=IDS, key=KEY, domain="batch-1"):
    forgotten = ForgottenRows(key, ids, domain)
    return make_receipt(forgotten, own, **NAMED), forgotten


def problems(found, forgotten, **said):
    said = {**SAID, "requests": {"req-1", "req-2"}, **said}
    return verify_receipt(found, root=forgotten.root, size=forgotten.size, **said)


@given(st.sets(TEXT, min_size=1, max_size=40), st.data())
def test_a_receipt_of_any_rows_of_any_set_verifies_after_json(ids, data):
    own = data.draw(st.sets(st.sampled_from(sorted(ids)), min_size=1))
    found, forgotten = made(own, ids)
    found = json.loads(json.dumps(found))

    assert problems(found, forgotten) == []
    assert {row["sample_id"] for row in found["rows"]} == own


def test_the_root_is_that_of_the_tree_over_sorted_fingerprints():
    marks = receipt.fingerprints(KEY, IDS, "batch-1")
    assert marks == sorted(
        receipt.fingerprint(receipt.row_nonce(KEY, one, "batch-1"), one) for one in IDS
    )
    assert receipt.rows_root(marks) == merkle.root(marks).hex() == made()[1].root


def test_root_and_receipt_do_not_depend_on_the_order_of_the_rows():
    assert made(ids=IDS[::-1], own=(IDS[7], IDS[2]))[0] == made()[0]


def test_rows_of_two_records_or_two_keys_cannot_be_linked():
    marks = [
        set(receipt.fingerprints(key, IDS, domain))
        for key, domain in ((KEY, "batch-1"), (KEY, "batch-2"), (b"other key", "batch-1"))
    ]
    assert len(set.union(*marks)) == 3 * len(IDS)


def test_a_fingerprint_cannot_be_guessed_from_its_id():
    marks = set(receipt.fingerprints(KEY, IDS, "batch-1"))
    for one in IDS:
        assert hashlib.sha256(one.encode()).digest() not in marks
        other = receipt.row_nonce(KEY, IDS[0], "batch-1")
        assert (receipt.fingerprint(other, one) in marks) == (one == IDS[0])


def test_a_receipt_holds_nothing_of_other_rows():
    found, _ = made(own=(IDS[3],))
    text = json.dumps(found)
    for other in set(IDS) - {IDS[3]}:
        nonce = receipt.row_nonce(KEY, other, "batch-1")
        for secret in (other, nonce.hex(), receipt.fingerprint(nonce, other).hex()):
            assert secret not in text
    assert KEY.hex() not in text
    assert "batch-1" not in text


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ((IDS[0], "no-1", "no-2"), "2 of 3 rows"),
        ((IDS[0], IDS[0]), "named twice"),
        ((), "one row at least"),
    ],
)
def test_what_cannot_be_shown_is_refused_without_naming_a_row(own, words):
    with pytest.raises(ValueError, match=words) as caught:
        made(own)
    assert not any(one in str(caught.value) for one in own)


def test_a_set_with_a_row_twice_is_refused():
    with pytest.raises(ValueError, match="named twice"):
        receipt.fingerprints(KEY, [*IDS, IDS[0]], "batch-1")


def test_a_domain_cannot_reach_into_the_id():
    with pytest.raises(ValueError, match="zero byte"):
        receipt.row_nonce(KEY, "b", "a\0")
    assert receipt.row_nonce(KEY, "b\0c", "a") != receipt.row_nonce(KEY, "c", "ab")


def spots(value, way=()):
    """Every place in a JSON value, the value itself left out."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for name, inner in pairs:
        yield (*way, name)
        if isinstance(inner, dict | list):
            yield from spots(inner, (*way, name))


def at(value, way):
    for name in way:
        value = value[name]
    return value


def others(value):
    """Near and far replacements of a value."""
    yield from (None, True, False, -1, 1.5, "", "x", [], {}, [[]], 10**5000)
    if isinstance(value, str) and value:
        yield from (value[:-1], value + "0", value.upper(), f" {value}")
        yield ("1" if value[0] != "1" else "2") + value[1:]
    if type(value) is int:
        yield from (value + 1, value - 1, float(value), str(value))
    if isinstance(value, list):
        yield from (value[:-1], [*value, value[0]] if value else [None], value[::-1])
    if isinstance(value, dict):
        yield {**value, "more": 1}


def test_no_change_of_a_single_field_passes():
    found, forgotten = made()
    assert problems(found, forgotten) == []
    tried = 0
    for way in spots(found):
        for other in others(at(found, way)):
            same = other == at(found, way) and type(other) is type(at(found, way))
            # Rows may be left out or in another order: what is shown still holds.
            if same or (way == ("rows",) and other in (found["rows"][:-1], found["rows"][::-1])):
                continue
            changed = copy.deepcopy(found)
            at(changed, way[:-1])[way[-1]] = other
            assert problems(changed, forgotten), (way, other)
            tried += 1
    assert tried > 300


def test_a_field_that_is_missing_or_too_many_is_found():
    found, forgotten = made()
    for way in ((), ("statement",), ("forget_set",), ("rows", 0)):
        for name in [*at(found, way), "more"]:
            changed = copy.deepcopy(found)
            if at(changed, way).pop(name, None) is None:
                at(changed, way)[name] = 1
            assert problems(changed, forgotten), (way, name)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ids": [*IDS, "one more"]}, "other rows"),
        ({"domain": "batch-2"}, "another root"),
        ({"key": b"other key"}, "not in the set"),
    ],
)
def test_a_receipt_of_another_set_does_not_verify(changes, words):
    found, _ = made(**changes)
    assert any(words in one for one in problems(found, made()[1]))


def test_a_receipt_that_claims_the_right_root_for_another_set_does_not_verify():
    found, _ = made(ids=[*IDS[:-1], "another"])
    forgotten = made()[1]
    found["forget_set"] = {"rows": forgotten.size, "root": forgotten.root}
    assert problems(found, forgotten) == [
        "row 1: it is not in the set that the statement covers",
        "row 2: it is not in the set that the statement covers",
    ]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"statement_sha256": "e" * 64}, "another statement"),
        ({"sequence": 5}, "another place in the chain"),
        ({"model": "models:/digits/3"}, "another model version"),
        ({"requests": ["req-2"]}, "request is not in the statement"),
    ],
)
def test_a_receipt_about_another_statement_is_found_where_it_is_known(said, words):
    found, forgotten = made()
    assert [words in one for one in problems(found, forgotten, **said)] == [True]
    assert problems(found, forgotten, **dict.fromkeys(said)) == []


def test_one_row_cannot_be_shown_twice():
    found, forgotten = made()
    found["rows"].append(found["rows"][0])
    assert problems(found, forgotten) == ["two of its rows have the same place"]


def test_an_id_that_utf_8_cannot_hold_is_told_not_raised():
    found, forgotten = made()
    found["rows"][0]["sample_id"] = "\ud800"
    assert problems(json.loads(json.dumps(found)), forgotten) == [
        "row 1: its path does not fit its place"
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*made()[0], *made()[0]["rows"][0], "sha256", "sequence", "root"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=200)
@given(JSON, st.data())
def test_malformed_input_is_told_and_never_raised(value, data):
    found, forgotten = made()
    assert problems(value, forgotten)
    way = data.draw(st.sampled_from(list(spots(found))))
    changed = copy.deepcopy(found)
    at(changed, way[:-1])[way[-1]] = value
    assert problems(changed, forgotten) or changed == found


@pytest.mark.parametrize("module", [merkle, receipt])
def test_the_stand_alone_verifier_can_import_it(module):
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    names = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [node.names[0].name])
    } - {"lethe.audit.merkle"}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names

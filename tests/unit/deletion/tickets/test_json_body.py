import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lethe.deletion.tickets.errors import BadTicketError
from lethe.deletion.tickets.json_body import MAX_BYTES, MAX_DEPTH, read_json

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=20,
)


def nested(depth):
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


@given(st.dictionaries(texts, values, max_size=4))
def test_what_json_can_say_is_read(value):
    assert read_json(json.dumps(value).encode()) == value
    assert read_json(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"{'a': 1}", "not_json"),
        (b'{"a": 1,}', "not_json"),
        (b'{"a": 1} {}', "not_json"),
        (b"payload=%7B%7D", "not_json"),
        (b'{"a": NaN}', "not_json"),
        (b'{"a": Infinity}', "not_json"),
        (b'{"a": -Infinity}', "not_json"),
        (b'{"a": 1e999}', "not_json"),
        (b'{"a": "\x00"}', "not_json"),
        (b'{"a": "\\u0000"}', "not_json"),
        (b'{"a": "\\ud800"}', "not_json"),
        (b'{"\\udc00": 1}', "not_json"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not_json"),
        ("\ufeff{}".encode(), "not_json"),
        (b'{"a": "\xff"}', "not_utf8"),
        (b'{"a": "\xed\xa0\x80"}', "not_utf8"),
        (b'{"a": "\xc0\xaf"}', "not_utf8"),
        ("{}".encode("utf-16"), "not_utf8"),
        (b"[]", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b"null", "not_an_object"),
        (b'{"a": 1, "a": 2}', "repeated_key"),
        (b'{"b": [{"a": 1, "\\u0061": 2}]}', "repeated_key"),
        (nested(MAX_DEPTH + 1), "too_deep"),
        (nested(100_000), "too_deep"),
        (b'{"a":' + b"[" * 100_000, "too_deep"),
        (b" " * (MAX_BYTES + 1), "too_large"),
    ],
)
def test_everything_else_is_refused(body, reason):
    with pytest.raises(BadTicketError) as caught:
        read_json(body)
    assert caught.value.reason == reason


def test_the_depth_of_real_tickets_is_allowed():
    assert read_json(nested(MAX_DEPTH))


def test_a_pair_of_surrogates_is_one_letter():
    assert read_json(b'{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}


@given(st.binary(max_size=300) | texts.map(str.encode))
def test_nothing_else_is_ever_raised(body):
    with contextlib.suppress(BadTicketError):
        assert isinstance(read_json(body), dict)


@pytest.mark.parametrize(
    "body", [b'{"name": "Canary Quillfeather"', b'{"name": "Canary Quillfeather\xff"}']
)
def test_an_error_keeps_nothing_of_the_body(body):
    with pytest.raises(BadTicketError) as caught:
        read_json(body)
    assert caught.value.__context__ is None
    assert "Quillfeather" not in repr(caught.value)

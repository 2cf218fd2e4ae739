import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lethe.deletion.tickets.errors import NotAuthenticError
from lethe.deletion.tickets.signature import check_bearer, check_hex

# docs.github.com, "Validating webhook deliveries", "Testing the webhook payload validation"
SECRET = b"It's a Secret to Everybody"
BODY = b"Hello, World!"
HEADER = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def by_hand(secret, body):
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def refused(secrets, body, header):
    with pytest.raises(NotAuthenticError) as caught:
        check_hex(secrets, body, header)
    return caught.value.reason


def test_the_documented_example_is_accepted():
    check_hex([SECRET], BODY, HEADER)


def test_any_of_the_valid_secrets_will_do():
    for secrets in ([SECRET, b"other"], [b"other", SECRET]):
        check_hex(secrets, BODY, HEADER)


def test_a_missing_signature_is_refused():
    assert refused([SECRET], BODY, None) == "signature_missing"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "sha256=",
        HEADER.removeprefix("sha256="),
        HEADER[:-1],
        HEADER[:-2],
        HEADER + "0",
        HEADER + "\n",
        HEADER + " ",
        " " + HEADER,
        HEADER.upper(),
        "sha256=" + HEADER[7:].upper(),
        "SHA256=" + HEADER[7:],
        "sha1=" + HEADER[7:],
        "sha512=" + HEADER[7:],
        "md5=" + hashlib.md5(BODY).hexdigest(),  # noqa: S324
        "sha1=" + hmac.new(SECRET, BODY, hashlib.sha1).hexdigest(),
        "sha512=" + hmac.new(SECRET, BODY, hashlib.sha512).hexdigest(),
        f"{HEADER}, {HEADER}",
        f"sha1=00,{HEADER}",
        "sha256=" + "0" * 64,
        "sha256=" + hashlib.sha256(BODY).hexdigest(),
        by_hand(b"", BODY),
        HEADER.replace("7", "\uff17"),
        HEADER.replace("1", "\u0661"),
        HEADER.replace("=", "\uff1d"),
    ],
)
def test_a_wrong_signature_is_refused(header):
    assert refused([SECRET], BODY, header) == "signature_wrong"


def test_a_signature_of_another_body_or_secret_is_refused():
    assert refused([SECRET], BODY, by_hand(SECRET, BODY + b" ")) == "signature_wrong"
    assert refused([SECRET], BODY, by_hand(b"another secret of somebody", BODY)) == (
        "signature_wrong"
    )


@given(st.binary(max_size=200), st.binary(min_size=16, max_size=40), st.data())
def test_whatever_is_altered_anywhere_is_refused(body, secret, data):
    header = by_hand(secret, body)
    check_hex([secret], body, header)
    altered = bytearray(body + b"\0")
    place = data.draw(st.integers(0, len(body)))
    altered[place] ^= data.draw(st.integers(1, 255))
    assert refused([secret], bytes(altered), header) == "signature_wrong"
    digit = data.draw(st.integers(7, 70))
    other = data.draw(st.characters().filter(lambda c: c != header[digit]))
    assert refused([secret], body, header[:digit] + other + header[digit + 1 :]) == (
        "signature_wrong"
    )


@given(st.text(max_size=100))
def test_no_header_raises_anything_else(text):
    for check in (lambda: check_hex([SECRET], BODY, text), lambda: check_bearer([SECRET], text)):
        with pytest.raises(NotAuthenticError):
            check()


def test_a_bearer_is_told_by_its_token():
    assert check_bearer([b"first-token", b"second-token"], "Bearer second-token") == 1
    assert check_bearer([b"first-token"], "bearer  first-token") == 0


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer first",
        "Bearer first-token x",
        "Basic first-token",
        "first-token",
        "Bearer first-token\n",
        "Bearer FIRST-TOKEN",
        "Bearer first-tok\u0435n",
    ],
)
def test_a_wrong_token_is_refused(header):
    with pytest.raises(NotAuthenticError) as caught:
        check_bearer([b"first-token", b""], header)
    assert caught.value.reason == "signature_wrong"


def test_every_comparison_is_made(monkeypatch):
    made = []

    def compare(a, b):
        made.append((a, b))
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", compare)
    check_hex([SECRET, b"old" * 9, b"older" * 9], BODY, HEADER)
    assert len(made) == 3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lethe.deletion.vault import Vault, WrongKeyError, canonical
from lethe.errors import SettingsError

KEY = bytes(range(32))
VAULT = Vault(KEY)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_what_was_sealed_comes_back(value):
    assert VAULT.open(VAULT.seal(value)) == value


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=6))
def test_nothing_of_a_value_shows_in_what_is_sealed(text):
    assert text.encode() not in VAULT.seal([text])


def test_the_same_value_is_sealed_differently_each_time():
    assert len({VAULT.seal("p-17") for _ in range(100)}) == 100


@given(st.data())
def test_a_change_of_any_byte_is_noticed(data):
    sealed = bytearray(VAULT.seal({"subjects": ["p-17"]}))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(WrongKeyError):
        VAULT.open(bytes(sealed))


@given(st.binary(max_size=40))
def test_what_was_never_sealed_is_refused(noise):
    with pytest.raises(WrongKeyError):
        VAULT.open(noise)


def test_another_key_is_refused_and_the_message_names_the_setting():
    sealed = VAULT.seal("p-17")
    with pytest.raises(WrongKeyError, match="key_file") as refused:
        Vault(KEY[::-1]).open(sealed)
    assert isinstance(refused.value, SettingsError)
    assert refused.value.__suppress_context__


def test_a_key_too_short_to_protect_anything_is_refused():
    with pytest.raises(SettingsError, match="key_file"):
        Vault(b"short")


@given(JSON, JSON)
def test_digests_are_equal_for_equal_json_alone(one, other):
    assert (VAULT.digest(one) == VAULT.digest(other)) == (canonical(one) == canonical(other))


def test_a_digest_does_not_depend_on_the_order_of_keys():
    assert VAULT.digest({"a": 1, "b": 2}) == VAULT.digest({"b": 2, "a": 1})


def test_a_digest_is_64_hexadecimal_digits_and_needs_the_key():
    digest = VAULT.digest("p-17")
    assert len(digest) == 64
    assert int(digest, 16)
    assert digest != Vault(KEY[::-1]).digest("p-17")


def test_the_key_of_digests_is_not_the_record_key_itself():
    import hashlib
    import hmac

    assert VAULT.digest("p-17") != hmac.new(KEY, canonical("p-17"), hashlib.sha256).hexdigest()


def test_a_vault_shows_nothing_of_its_key():
    assert repr(VAULT) == "Vault()"
    assert str(VAULT) == "Vault()"

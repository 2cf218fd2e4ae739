import pytest

from lethe.deletion.answers.addresses import check_own, check_theirs
from lethe.deletion.answers.errors import SendError

PUBLIC = "93.184.215.14"


def looked_up(*addresses):
    return lambda _host, _port: addresses


def refused(url, callbacks=(), *, to=(PUBLIC,)):
    with pytest.raises(SendError) as caught:
        check_theirs(url, callbacks, look_up=looked_up(*to))
    assert url not in str(caught.value)
    return caught.value.permanent


def test_a_public_address_is_called_at_the_address_that_was_checked():
    found = check_theirs("https://cb.example.org/x", (), look_up=looked_up(PUBLIC, "2606:2800::1"))
    assert found == (PUBLIC, "2606:2800::1")


@pytest.mark.parametrize(
    "inside",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 (what a name leads to, nothing is bound)
        "224.0.0.1",
        "::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
    ],
)
def test_a_name_that_leads_inside_is_refused(inside):
    assert refused("https://cb.example.org/x", to=(inside,))
    assert refused("https://cb.example.org/x", ["https://cb.example.org/"], to=(inside,))
    # One address inside among public ones is enough.
    assert refused("https://cb.example.org/x", to=(PUBLIC, inside))


def test_an_address_inside_that_the_policy_names_is_called():
    callbacks = ["https://cb.example.org/", "https://10.1.2.3/"]
    found = check_theirs("https://cb.example.org/x", callbacks, look_up=looked_up("10.1.2.3"))
    assert found == ("10.1.2.3",)
    assert refused("https://cb.example.org/x", callbacks, to=("10.1.2.4",))


@pytest.mark.parametrize("named", ["http://127.0.0.1:8000/", "http://localhost:8000/"])
def test_this_machine_is_called_only_if_the_policy_says_so(named):
    url = named + "cb"
    assert check_theirs(url, [named], look_up=looked_up("127.0.0.1")) == ("127.0.0.1",)
    assert refused(url, to=("127.0.0.1",))
    assert refused(url, ["https://cb.example.org/"], to=("127.0.0.1",))


@pytest.mark.parametrize(
    "url",
    [
        "http://cb.example.org/x",
        "ftp://cb.example.org/x",
        "https://user:secret@cb.example.org/x",
        "https:///x",
        "file:///etc/passwd",
        "https://other.example.org/x",
        "https://cb.example.org.evil.example/x",
    ],
)
def test_only_https_to_what_is_listed(url):
    assert refused(url, ["https://cb.example.org/"])


def test_a_name_that_is_not_found_may_be_found_later():
    def fails(_host, _port):
        raise OSError

    with pytest.raises(SendError) as caught:
        check_theirs("https://cb.example.org/x", (), look_up=fails)
    assert not caught.value.permanent


@pytest.mark.parametrize("url", ["https://api.example.org", "http://127.0.0.1:1", "http://[::1]:1"])
def test_the_policys_own_addresses_are_https_or_this_machine(url):
    check_own(url)


@pytest.mark.parametrize(
    "url", ["http://api.example.org", "http://10.0.0.1", "ftp://x", "https://"]
)
def test_a_secret_is_not_sent_in_clear(url):
    with pytest.raises(SendError):
        check_own(url)

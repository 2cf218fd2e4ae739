import pytest
from hypothesis import given
from hypothesis import strategies as st

from lethe.deletion.tickets.callbacks import check_callback
from lethe.deletion.tickets.errors import BadTicketError


@pytest.mark.parametrize(
    ("url", "patterns"),
    [
        ("https://controller.example.org/opendsr/callbacks", []),
        ("https://controller.example.org:8443/x?y=1", []),
        ("HTTPS://Controller.Example.ORG/x", ["https://controller.example.org"]),
        (
            "https://a.example.org:443/dsr/x?y=1",
            ["https://b.example.org", "https://a.example.org/dsr"],
        ),
        ("https://a.example.org/dsr", ["https://a.example.org/dsr/"]),
        ("https://10.0.0.7/", ["https://10.0.0.7"]),
        ("http://127.0.0.1:9999/x", []),
        ("http://localhost:9/x", ["http://localhost:9/"]),
        ("http://[::1]:80/x", []),
        ("https://93.184.216.34/x", []),
    ],
)
def test_a_proper_url_is_allowed(url, patterns):
    check_callback(url, patterns)


@pytest.mark.parametrize(
    ("url", "patterns"),
    [
        ("http://controller.example.org/x", []),
        ("ftp://controller.example.org/x", []),
        ("file:///etc/passwd", []),
        ("javascript:alert(1)", []),
        ("//controller.example.org/x", []),
        ("https:///x", []),
        ("https://", []),
        ("", []),
        ("https://ada:secret@example.org/x", []),
        ("https://example.org@evil.example/x", ["https://example.org"]),
        ("https://evil.example/x#@example.org", []),
        ("https://example.org/x#y", []),
        ("https://example.org\\@evil.example/", []),
        ("https://exam ple.org/", []),
        ("https://example.org/\r\nHost: evil", []),
        ("https://example.org:99999/", []),
        ("https://[::1/", []),
        ("https://\u0435xample.org/", []),
        ("https://evil.example/", ["https://example.org"]),
        ("https://a.example.org/", ["https://example.org"]),
        ("https://example.org:8443/", ["https://example.org"]),
        ("https://example.org/dsrx", ["https://example.org/dsr"]),
        ("https://example.org/dsr/../admin", ["https://example.org/dsr"]),
        ("https://example.org/dsr/%2E%2e/admin", ["https://example.org/dsr"]),
        ("http://example.org/x", ["http://example.org"]),
        ("https://example.org.evil.example/", ["https://example.org"]),
        ("http://127.0.0.1/", ["https://example.org"]),
        ("http://127.0.0.1.nip.io/", []),
        ("https://10.0.0.7/", []),
        ("https://192.168.1.1/", []),
        ("https://169.254.169.254/latest/meta-data", []),
        ("https://[fd00::1]/", []),
        ("https://[::ffff:10.0.0.7]/", []),
        ("https://0.0.0.0/", []),
        ("https://167772167/", []),
        ("https://0xa000007/", []),
        ("https://10.7/", []),
    ],
)
def test_anything_else_is_refused_without_the_url(url, patterns):
    with pytest.raises(BadTicketError) as caught:
        check_callback(url, patterns)
    assert "evil" not in str(caught.value)
    assert "ada" not in str(caught.value)


@given(st.text(max_size=40) | st.text(max_size=40).map("https://".__add__))
def test_no_text_raises_anything_else(text):
    try:
        check_callback(text, ["https://example.org"])
    except BadTicketError:
        pass
    else:
        assert "example.org" in text.lower()

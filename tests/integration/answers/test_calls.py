import datetime as dt
import logging
import socket
import ssl
import threading
import time

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lethe.deletion.answers import http
from lethe.deletion.answers.errors import SendError
from lethe.deletion.answers.http import Call, Caller, Patience

QUICK = Patience(step=0.3, call=0.6, letter=1.5)


@pytest.fixture
def certified(tmp_path):
    """The server side of a self-signed certificate for cb.example.org, and the certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cb.example.org")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("cb.example.org")]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    authority = tmp_path / "authority.pem"
    authority.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context, authority


@pytest.fixture
def trusting(monkeypatch):
    """Trust an authority for this test, and nobody's afterwards."""

    def trust(path):
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        http._trusted.cache_clear()

    yield trust
    http._trusted.cache_clear()


def named(server, host="cb.example.org"):
    return server.url.replace("127.0.0.1", host) + "/x"


def call(url, **more):
    return Caller(QUICK).make(Call("GET", url, **more))


def test_an_address_that_was_checked_is_called_under_its_name(serve, certified, trusting):
    context, authority = certified
    trusting(authority)
    with serve(lambda asked: (200, {"host": asked.headers["Host"]}), tls=context) as server:
        reply = call(named(server), addresses=["127.0.0.1"])
    assert reply.json()["host"].startswith("cb.example.org:")


def test_a_certificate_of_another_name_is_refused(serve, certified, trusting):
    context, authority = certified
    trusting(authority)
    with serve(lambda _: (200, {}), tls=context) as server:
        with pytest.raises(SendError):
            call(named(server, "other.example.org"), addresses=["127.0.0.1"])
        assert server.asked == []


def test_a_certificate_that_nobody_vouches_for_is_refused(serve, certified):
    context, _ = certified
    with serve(lambda _: (200, {}), tls=context) as server:
        with pytest.raises(SendError):
            call(named(server), addresses=["127.0.0.1"])
        assert server.asked == []


def test_the_next_address_is_tried_when_there_is_no_connection(serve):
    with serve(lambda _: (200, {})) as server:
        url = server.url.replace("127.0.0.1", "localhost") + "/x"
        assert call(url, addresses=["127.0.0.2", "127.0.0.1"]).ok
        # Once something was sent, another address is not tried.
        server.troubles.append(("GET", "/x", "take and hang up"))
        with pytest.raises(SendError):
            call(url, addresses=["127.0.0.1", "127.0.0.1"])
        assert len(server.asked) == 2


def test_a_server_that_gives_a_byte_at_a_time_is_left(dripping):
    start = time.monotonic()
    with pytest.raises(SendError) as caught:
        call(dripping)
    assert caught.value.what == "TimeoutError"
    assert time.monotonic() - start < 5


def test_all_calls_of_a_letter_share_their_time(dripping):
    caller = Caller(QUICK)
    start = time.monotonic()
    for _ in range(20):
        with pytest.raises(SendError):
            caller.make(Call("GET", dripping))
    assert time.monotonic() - start < 5


def test_an_endless_answer_is_cut_off(serve):
    with serve(lambda _: (200, {"x": "y" * 10**6})) as server:
        reply = call(server.url + "/x")
    assert len(reply.body) == http.SMALL
    assert not reply.whole
    with pytest.raises(SendError):
        reply.json()


def test_no_error_tells_the_address_or_a_header(serve):
    with serve(lambda _: (200, {})) as server:
        server.troubles.append(("GET", "/canary", "hang"))
        headers = {"Authorization": "Bearer canary-token"}
        with pytest.raises(SendError) as caught:
            call(f"{server.url}/canary", headers=headers)
    shown, error = "", caught.value
    while error is not None:
        shown += f"{error!r} {error}"
        error = error.__cause__ or error.__context__
    assert "canary" not in shown


def test_our_calls_are_not_logged_and_those_of_others_are(serve, caplog):
    with serve(lambda _: (200, {})) as server, caplog.at_level(logging.DEBUG):
        assert call(f"{server.url}/canary", headers={"X-Secret": "canary"}).ok
        assert "canary" not in caplog.text
        assert "127.0.0.1" not in caplog.text
        assert httpx.get(f"{server.url}/canary").is_success
        assert "canary" in caplog.text


@pytest.fixture
def dripping():
    """Address of a server that sends one byte of a header every tenth of a second."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip():
            while not over.is_set():
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    try:
                        peer.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                        while not over.wait(0.1):
                            peer.sendall(b"x")
                    except OSError:
                        continue

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)

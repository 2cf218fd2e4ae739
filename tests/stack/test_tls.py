"""STACK_TLS=1: each server speaks TLS; who does not know the authority is refused."""

import os
import shutil
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import httpx
import psycopg
import pytest
from botocore.exceptions import SSLError
from cryptography import x509

from infra.stack.config import StackSettings
from infra.stack.demo import demo, lethe
from infra.stack.errors import StackError
from infra.stack.postgres import DEBIAN, ensure_postgres_tls, tls_options
from infra.stack.prepare import run_environment
from infra.stack.scratch import make_project, scratch_settings
from infra.stack.secrets import ensure_credentials
from infra.stack.tls import (
    authority,
    bundle,
    ensure_certificates,
    libpq,
    postgres_has_tls,
    server_files,
    trust,
)
from infra.stack.up import healthy, start, stop

CLIENTS = "LETHE_EVALUATION__FEATURE_LEVEL=false\nOMP_NUM_THREADS=1\n"


def chain(path):
    return x509.load_pem_x509_certificates(Path(path).read_bytes())


@pytest.fixture
def made(tmp_path):
    settings = StackSettings(home=tmp_path / "home", tls=True)
    ensure_credentials(settings)
    ensure_certificates(settings)
    return settings


def test_the_certificate_is_the_authoritys_and_for_this_machine_alone(made):
    (ca,) = chain(authority(made))
    server, issuer = chain(server_files(made)[0])
    assert issuer == ca
    server.verify_directly_issued_by(ca)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert server.not_valid_after_utc - server.not_valid_before_utc < timedelta(days=398)
    for name in ("ca.key", "server.key"):
        assert (authority(made).parent / name).stat().st_mode & 0o777 == 0o600
    assert authority(made).read_text() in bundle(made).read_text()
    assert bundle(made).read_text().count("BEGIN CERTIFICATE") > 50  # the public ones too


def test_again_it_stays_and_for_another_host_it_is_made_anew_by_the_same_authority(made):
    before = Path(server_files(made)[0]).read_bytes(), authority(made).read_bytes()
    ensure_certificates(made)
    assert (Path(server_files(made)[0]).read_bytes(), authority(made).read_bytes()) == before
    moved = made.model_copy(update={"host": "stack.example.org"})
    ensure_certificates(moved)
    server = chain(server_files(moved)[0])[0]
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "stack.example.org" in names.get_values_for_type(x509.DNSName)
    assert authority(moved).read_bytes() == before[1]


def test_one_that_ends_soon_is_made_anew(made, monkeypatch):
    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(days=380)

    before = chain(server_files(made)[0])[0]
    monkeypatch.setattr("infra.stack.tls.datetime", Later)
    ensure_certificates(made)
    after = chain(server_files(made)[0])[0]
    assert after.not_valid_after_utc > before.not_valid_after_utc
    assert before.not_valid_after_utc - datetime.now(UTC) < timedelta(days=398)


def test_postgresql_without_tls_is_refused_where_others_reach_it(tmp_path):
    settings = StackSettings(home=tmp_path, tls=True, host="192.0.2.1", postgres_bin=tmp_path)
    (tmp_path / "postgres").write_text("#!/bin/sh\necho\n")  # what one says that has none
    (tmp_path / "postgres").chmod(0o755)
    with pytest.raises(StackError, match="built without TLS"):
        ensure_postgres_tls(settings)
    here = settings.model_copy(update={"host": "127.0.0.1"})
    ensure_postgres_tls(here)
    assert not postgres_has_tls(here)
    assert tls_options(here) == ()
    assert libpq(here) == {}


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A stack of its own, with TLS."""
    home = Path(tempfile.mkdtemp(prefix="lethe-tls-"))  # short: a socket lies in it
    project = tmp_path_factory.mktemp("tls") / "project"
    make_project(project)
    for name in [name for name in os.environ if name.startswith("LETHE_")]:
        del os.environ[name]
    # The embedded package is built without TLS.
    of_debian = sorted(DEBIAN.glob("*/bin/initdb"))
    changes = {"postgres_bin": of_debian[-1].parent} if of_debian else {}
    settings = scratch_settings(home, project, tls=True, **changes)
    (home / "clients.env").write_text(CLIENTS)
    try:
        credentials = start(settings, lambda _: None)
    except StackError as error:
        if "cannot reach" in str(error):
            pytest.skip(str(error))
        raise
    yield settings, credentials
    stop(settings, lambda _: None)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def another(tmp_path_factory):
    """The authority of another stack."""
    settings = StackSettings(home=tmp_path_factory.mktemp("another"), tls=True)
    ensure_certificates(settings)
    return authority(settings)


@pytest.mark.stack
@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.timeout(2400)
class TestServers:
    """One stack for all of them."""

    def test_a_client_that_does_not_know_the_authority_is_refused_by_each(self, stack, another):
        settings, credentials = stack
        wrong = ssl.create_default_context(cafile=another)
        for port, path in (
            (settings.mlflow_port, "/health"),
            (settings.prefect_port, "/api/health"),
            (settings.intake_port, "/healthz"),
        ):
            address = f"{settings.url(port)}{path}"
            assert address.startswith("https://")
            for verify in (True, wrong):
                with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                    httpx.get(address, verify=verify, timeout=30)
            with pytest.raises(httpx.HTTPError):  # nor does it speak without TLS
                httpx.get(address.replace("https", "http"), timeout=30)
            assert httpx.get(address, verify=trust(settings), timeout=30).status_code == 200
        key = {
            "aws_access_key_id": credentials["S3_LETHE_KEY"],
            "aws_secret_access_key": credentials["S3_LETHE_SECRET"],
            "region_name": "us-east-1",
            "endpoint_url": settings.url(settings.s3_port),
        }
        with pytest.raises(SSLError):
            boto3.client("s3", **key, verify=str(another)).list_buckets()
        known = boto3.client("s3", **key, verify=str(bundle(settings)))
        assert known.list_buckets()["Buckets"]

    def test_postgresql_lets_nobody_in_without_tls_and_is_verified_in_full(self, stack, another):
        settings, credentials = stack
        if not postgres_has_tls(settings):
            pytest.skip("no PostgreSQL that is built with TLS in /usr/lib/postgresql")
        to = {
            "host": settings.host,
            "port": settings.postgres_port,
            "user": "lethe",
            "dbname": "lethe",
            "password": credentials["POSTGRES_LETHE_PASSWORD"],
        }
        with pytest.raises(psycopg.OperationalError, match="no encryption"):
            psycopg.connect(**to, sslmode="disable")
        with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
            psycopg.connect(**to, sslmode="verify-full", sslrootcert=str(another))
        known = {"sslmode": "verify-full", "sslrootcert": str(authority(settings))}
        with psycopg.connect(**to, **known) as connection:
            ours = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            assert connection.execute(ours).fetchone() == (True, "TLSv1.3")
        admin = {"user": "postgres", "password": credentials["POSTGRES_PASSWORD"]}
        with psycopg.connect(**(to | admin), **known) as connection:
            found = connection.execute(
                "SELECT usename, bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
                "WHERE usename IS NOT NULL AND client_addr IS NOT NULL GROUP BY usename"
            ).fetchall()
        assert {"mlflow", "prefect"} <= {name for name, _ in found}
        assert all(encrypted for _, encrypted in found)

    def test_commands_without_the_authority_fail(self, stack, another):
        settings, credentials = stack
        environment = run_environment(settings, credentials)
        assert ("PGSSLROOTCERT" in environment) == postgres_has_tls(settings)
        trusted = {"MLFLOW_TRACKING_SERVER_CERT_PATH", "PREFECT_API_SSL_CERT_FILE", "AWS_CA_BUNDLE"}
        assert trusted <= environment.keys()
        wrong = f"MLFLOW_TRACKING_SERVER_CERT_PATH={another}\nMLFLOW_HTTP_REQUEST_MAX_RETRIES=0\n"
        (settings.home / "clients.env").write_text(CLIENTS + wrong)
        with pytest.raises(StackError, match="MLflow"):
            lethe(settings, credentials, "model", "list")
        (settings.home / "clients.env").write_text(CLIENTS)
        assert lethe(settings, credentials, "requests", "list", "--json").strip() == "[]"

    def test_the_demo_passes(self, stack):
        settings, credentials = stack
        assert all(healthy(settings, credentials).values())
        issue = demo(settings, credentials, lambda _: None)
        assert not issue.is_open
        assert "digits/2" in issue.comments[-1]

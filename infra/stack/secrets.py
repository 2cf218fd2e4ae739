"""Passwords of the stack: made once, kept in one file that only its owner reads.

    credentials = ensure_credentials(settings)      # makes .lethe/stack/secrets/credentials.env
    credentials["MLFLOW_PASSWORD"]

Programs read what they need from this file when they start; nothing of it stands on a command line,
in the process manager's configuration or in a Prefect job variable.
"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from infra.stack.config import StackSettings

FILE = "credentials.env"
# MLflow wants 12 characters, Lethe's tokens 16 bytes; all get 32 characters of letters and digits.
MADE = (
    "POSTGRES_PASSWORD",
    "POSTGRES_LETHE_PASSWORD",
    "POSTGRES_MLFLOW_PASSWORD",
    "POSTGRES_PREFECT_PASSWORD",
    "S3_LETHE_KEY",
    "S3_LETHE_SECRET",
    "S3_MLFLOW_KEY",
    "S3_MLFLOW_SECRET",
    "MLFLOW_ADMIN_PASSWORD",
    "MLFLOW_LETHE_PASSWORD",
    "MLFLOW_SECRET_KEY",
    "PREFECT_PASSWORD",
    "WEBHOOK_SECRET",
    "TICKETS_TOKEN",
    "OPERATOR_TOKEN",
    "NOTIFY_SECRET",
)
ROLES = ("lethe", "mlflow", "prefect")


def credentials_file(settings: StackSettings) -> Path:
    """Where the passwords are."""
    return settings.secrets / FILE


def ensure_credentials(settings: StackSettings) -> dict[str, str]:
    """Read the passwords, and make those that are missing."""
    settings.secrets.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings.secrets.chmod(0o700)
    file = credentials_file(settings)
    known = read_credentials(settings) if file.exists() else {}
    made = {name: known.get(name) or secrets.token_hex(16) for name in MADE}
    if made != known:
        write_private(file, "".join(f"{name}={value}\n" for name, value in made.items()))
    for role in (*ROLES, "postgres"):
        write_private(pgpass_file(settings, role), _pgpass(settings, role, made))
    return made


def read_credentials(settings: StackSettings) -> dict[str, str]:
    """The passwords by name.

    Raises:
        FileNotFoundError: before the first start.
    """
    lines = credentials_file(settings).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner may read, at no moment less than whole."""
    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    part.replace(file)


def pgpass_file(settings: StackSettings, role: str) -> Path:
    """A role's password file, which libpq and asyncpg read: no address holds a password."""
    return settings.secrets / f"pgpass-{role}"


def password_of(role: str, credentials: Mapping[str, str]) -> str:
    """The password of a PostgreSQL role."""
    return credentials["POSTGRES_PASSWORD" if role == "postgres" else _name(role)]


def _name(role: str) -> str:
    return f"POSTGRES_{role.upper()}_PASSWORD"


def _pgpass(settings: StackSettings, role: str, made: Mapping[str, str]) -> str:
    return f"{settings.host}:{settings.postgres_port}:*:{role}:{password_of(role, made)}\n"

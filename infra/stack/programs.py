"""What runs in the stack: each program's command, and the environment that it alone gets.

The order is that of the start; the process manager starts again what ends. Passwords come from the
credentials file, at the moment a program starts (`python -m infra.stack.launch NAME`).
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.stack.config import StackSettings, as_root
from infra.stack.gpus import gpu_count
from infra.stack.postgres import binaries, tls_options
from infra.stack.secrets import pgpass_file, read_credentials
from infra.stack.tls import client_variables, postgres_variables, s3_variables, server_files

BIN = Path(sys.executable).parent
PREFECT_USER = "lethe"
MLFLOW_USER = "lethe"
ARTIFACTS, DVC = "mlflow-artifacts", "lethe-dvc"
BUCKETS = (ARTIFACTS, DVC)
# rclone answers a read of a range with the checksum of the whole object.
CHECKSUMS = {
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
}
QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
    "DO_NOT_TRACK": "1",
}
KEPT = {
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "no_proxy", "NO_PROXY", "STACK_COPY"),
}
KEPT_PREFIXES = ("LC_", "XDG_", "CUDA_", "NVIDIA_", "OMP_")
Make = Callable[[StackSettings, Mapping[str, str]], dict[str, str]]


@dataclass(frozen=True)
class Program:
    """One program of the stack.

    Attributes:
        name: as the process manager knows it.
        command: without anything secret.
        environment: made from settings and passwords when it starts.
        priority: lower starts first.
        copies: how many of it run.
        user: account to run under where root starts the stack.
        stop: signal that ends it in order.
        patience: seconds that it has for that.
        leaves_runs: what it started goes on after its death, and reports for itself.
    """

    name: str
    command: tuple[str, ...]
    environment: Make = field(default=lambda _settings, _credentials: {})
    priority: int = 50
    copies: int = 1
    user: str | None = None
    stop: str = "TERM"
    patience: int = 20
    leaves_runs: bool = False


def programs(settings: StackSettings) -> tuple[Program, ...]:
    """All of them."""
    host = settings.host
    names = f"{host}:{settings.mlflow_port},localhost:{settings.mlflow_port}"
    origins = f"{'https' if settings.tls else 'http'}://{names}"
    uvicorn = _tls(settings, "--ssl-certfile", "--ssl-keyfile")
    return (
        Program(
            "postgres",
            (
                str(binaries(settings) / "postgres"),
                *("-D", str(settings.home / "postgres")),
                *("-p", str(settings.postgres_port), "-h", host, "-k", ""),
                *("-c", "max_connections=200", "-c", "password_encryption=scram-sha-256"),
                *tls_options(settings),
            ),
            priority=10,
            user=settings.postgres_user if as_root() else None,
            stop="INT",  # PostgreSQL's fast shutdown
            patience=60,
        ),
        Program(
            "s3",
            (
                str(BIN / "rclone"),
                *("serve", "s3", "--addr", f"{host}:{settings.s3_port}"),
                *("--config", str(settings.run / "rclone.conf"), "--vfs-cache-mode", "off"),
                *(("--min-tls-version", "tls1.2") if settings.tls else ()),
                *(_tls(settings, "--cert", "--key")),
                str(settings.home / "s3"),
            ),
            _s3,
            priority=10,
        ),
        Program(
            "mlflow",
            (
                *(sys.executable, "-m", "mlflow", "server", "--app-name", "lethe-guarded"),
                *("--host", host, "--port", str(settings.mlflow_port), "--workers", "1"),
                *("--artifacts-destination", f"s3://{ARTIFACTS}"),
                *("--allowed-hosts", names, "--cors-allowed-origins", origins),
                *(("--uvicorn-opts", " ".join(uvicorn)) if settings.tls else ()),
                *("--x-frame-options", "DENY"),
            ),
            _mlflow,
            priority=20,
        ),
        Program(
            "prefect",
            (
                *(sys.executable, "-m", "uvicorn", "--factory", "infra.stack.prefect_app:create"),
                *("--app-dir", str(Path(__file__).parents[2])),
                *("--host", host, "--port", str(settings.prefect_port)),
                *("--log-level", "warning", "--no-server-header", "--timeout-keep-alive", "5"),
                *uvicorn,
            ),
            _prefect,
            priority=20,
        ),
        Program(
            "intake",
            (str(BIN / "lethe"), "intake"),
            _intake,
            priority=30,
        ),
        _worker("cpu", 1),
        _worker("gpu", settings.gpu_workers or max(1, gpu_count())),
    )


def _tls(settings: StackSettings, certificate: str, key: str) -> tuple[str, ...]:
    """Options of a server for its certificate and key; none without TLS."""
    if not settings.tls:
        return ()
    files = server_files(settings)
    return (certificate, files[0], key, files[1])


def _worker(pool: str, copies: int) -> Program:
    return Program(
        f"worker-{pool}",
        (
            *(str(BIN / "prefect"), "worker", "start", "--pool", pool, "--limit", "1"),
            *("--install-policy", "never", "--type", "process"),
        ),
        _gpu_worker if pool == "gpu" else _cpu_worker,
        priority=40,
        copies=copies,
        patience=30,
        leaves_runs=True,
    )


def client_environment(settings: StackSettings, credentials: Mapping[str, str]) -> dict[str, str]:
    """What `lethe`, `prefect`, `dvc` and MLflow's client need to talk to the stack."""
    made = {
        "LETHE_HOME": str(settings.home / "lethe"),
        "LETHE_MLFLOW__TRACKING_URI": settings.url(settings.mlflow_port),
        "LETHE_LEDGER__URL": _database(settings, "postgresql+psycopg", "lethe"),
        "LETHE_KEY_FILE": str(settings.secrets / "record.key"),
        "LETHE_POLICY__FILE": str(policy_file(settings)),
        "MLFLOW_TRACKING_URI": settings.url(settings.mlflow_port),
        "MLFLOW_TRACKING_USERNAME": MLFLOW_USER,
        "MLFLOW_TRACKING_PASSWORD": credentials["MLFLOW_LETHE_PASSWORD"],
        "PREFECT_API_URL": settings.prefect_api,
        "PREFECT_API_AUTH_STRING": _auth_string(credentials),
        "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "true",
        "PREFECT_HOME": str(settings.home / "prefect" / "client"),
        "PGPASSFILE": str(pgpass_file(settings, "lethe")),
        "AWS_ACCESS_KEY_ID": credentials["S3_LETHE_KEY"],
        "AWS_SECRET_ACCESS_KEY": credentials["S3_LETHE_SECRET"],
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": settings.url(settings.s3_port),
        **client_variables(settings),
        **CHECKSUMS,
        **QUIET,
    }
    return made | extra(settings)


def extra(settings: StackSettings) -> dict[str, str]:
    """Lines of `clients.env` in the stack's folder, for TLS and whatever a site needs."""
    file = settings.home / "clients.env"
    if not file.exists():
        return {}
    lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def policy_file(settings: StackSettings) -> Path:
    """The policy: as set, else the project's, else the sample that the stack made."""
    own = settings.policy or settings.project / "policy.toml"
    return own if own.exists() else settings.home / "policy.toml"


def inherited() -> dict[str, str]:
    """What programs take over from the shell that starts the stack: nothing that may be secret."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or name.startswith(KEPT_PREFIXES)
    }


def environment_of(settings: StackSettings, program: Program) -> dict[str, str]:
    """Everything that a program gets: nothing of another's secrets."""
    made = program.environment(settings, read_credentials(settings)) if needs(program) else {}
    return inherited() | settings.as_environment() | made


def needs(program: Program) -> bool:
    """Whether a program gets anything from the credentials file."""
    return program.name != "postgres"


def _database(settings: StackSettings, dialect: str, name: str) -> str:
    return f"{dialect}://{name}@{settings.host}:{settings.postgres_port}/{name}"


def _auth_string(credentials: Mapping[str, str]) -> str:
    return f"{PREFECT_USER}:{credentials['PREFECT_PASSWORD']}"


def _s3(_settings: StackSettings, credentials: Mapping[str, str]) -> dict[str, str]:
    pairs = (f"{credentials[f'S3_{who}_KEY']},{credentials[f'S3_{who}_SECRET']}" for who in _S3)
    return {"RCLONE_AUTH_KEY": ",".join(json.dumps(pair) for pair in pairs)}


_S3 = ("LETHE", "MLFLOW")


def _mlflow(settings: StackSettings, credentials: Mapping[str, str]) -> dict[str, str]:
    return {
        "MLFLOW_BACKEND_STORE_URI": _database(settings, "postgresql+psycopg", "mlflow"),
        "MLFLOW_AUTH_CONFIG_PATH": str(settings.run / "mlflow-auth.ini"),
        "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
        "MLFLOW_AUTH_ADMIN_PASSWORD": credentials["MLFLOW_ADMIN_PASSWORD"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": credentials["MLFLOW_SECRET_KEY"],
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_S3_ENDPOINT_URL": settings.url(settings.s3_port),
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "AWS_ACCESS_KEY_ID": credentials["S3_MLFLOW_KEY"],
        "AWS_SECRET_ACCESS_KEY": credentials["S3_MLFLOW_SECRET"],
        "AWS_DEFAULT_REGION": "us-east-1",
        "PGPASSFILE": str(pgpass_file(settings, "mlflow")),
        **postgres_variables(settings),
        **s3_variables(settings),
        **CHECKSUMS,
        **QUIET,
    }


def _prefect(settings: StackSettings, credentials: Mapping[str, str]) -> dict[str, str]:
    return {
        "PREFECT_API_DATABASE_CONNECTION_URL": _database(settings, "postgresql+asyncpg", "prefect"),
        "PREFECT_SERVER_API_AUTH_STRING": _auth_string(credentials),
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": settings.url(settings.prefect_port),
        "PREFECT_SERVER_UI_API_URL": settings.prefect_api,
        # Services of the server talk to its own API.
        "PREFECT_API_AUTH_STRING": _auth_string(credentials),
        "PREFECT_HOME": str(settings.home / "prefect" / "server"),
        # Kept in memory, a slot of a limit would stay taken for good once the server was killed.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
            "prefect.server.concurrency.lease_storage.filesystem"
        ),
        "PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION": "60",
        "PREFECT_SERVER_CONCURRENCY_MAXIMUM_CONCURRENCY_SLOT_WAIT_SECONDS": "10",
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "5",
        "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
        "PGPASSFILE": str(pgpass_file(settings, "prefect")),
        **postgres_variables(settings),
        **QUIET,
    }


def _intake(settings: StackSettings, credentials: Mapping[str, str]) -> dict[str, str]:
    return {
        **client_environment(settings, credentials),
        **policy_secrets(credentials),
        "LETHE_INTAKE__HOST": settings.host,
        "LETHE_INTAKE__PORT": str(settings.intake_port),
        # With an address for others, figures and documents need a token too.
        "LETHE_INTAKE__PUBLIC_URL": settings.url(settings.intake_port),
        "OMP_NUM_THREADS": "1",
        **_intake_tls(settings),
    }


def _intake_tls(settings: StackSettings) -> dict[str, str]:
    if not settings.tls:
        return {}
    certificate, key = server_files(settings)
    return {"LETHE_INTAKE__TLS_CERTIFICATE": certificate, "LETHE_INTAKE__TLS_KEY": key}


def policy_secrets(credentials: Mapping[str, str]) -> dict[str, str]:
    """What the sample policy refers to."""
    return {
        "WEBHOOK_SECRET": credentials["WEBHOOK_SECRET"],
        "TICKETS_TOKEN": credentials["TICKETS_TOKEN"],
        "OPERATOR_TOKEN": credentials["OPERATOR_TOKEN"],
    }


def _cpu_worker(settings: StackSettings, credentials: Mapping[str, str]) -> dict[str, str]:
    return {
        **client_environment(settings, credentials),
        **policy_secrets(credentials),
        "LETHE_INTAKE__PUBLIC_URL": settings.url(settings.intake_port),
        "LETHE_DEVICE": "cpu",
        "CUDA_VISIBLE_DEVICES": "",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES": "false",
        # Two minutes of a server that starts again end no run.
        "PREFECT_CLIENT_MAX_RETRIES": "6",
    }


def _gpu_worker(settings: StackSettings, credentials: Mapping[str, str]) -> dict[str, str]:
    made = _cpu_worker(settings, credentials)
    made["LETHE_DEVICE"] = "auto"
    if gpu_count():
        # One worker, one GPU, one slot: each sees its own as the only one.
        made["CUDA_VISIBLE_DEVICES"] = os.environ.get("STACK_COPY", "0")
    return made

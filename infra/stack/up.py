"""Start and stop the stack."""

import time
from collections.abc import Callable, Mapping

from infra.stack.config import StackSettings, as_root
from infra.stack.health import asked, probes, wait_for
from infra.stack.manager import Manager
from infra.stack.postgres import ensure_cluster, ensure_databases, ensure_postgres_tls
from infra.stack.prepare import (
    ensure_buckets,
    ensure_deployments,
    ensure_mlflow_user,
    ensure_signing_key,
    write_client_file,
    write_files,
)
from infra.stack.programs import programs
from infra.stack.secrets import ensure_credentials
from infra.stack.tls import ensure_certificates, postgres_has_tls

Tell = Callable[[str], None]
Settle = Callable[[StackSettings, Mapping[str, str]], None]
# What a server needs as soon as it is healthy, before anything else starts.
AFTER: dict[str, tuple[Settle, ...]] = {
    "postgres": (ensure_databases,),
    "s3": (ensure_buckets,),
    "mlflow": (ensure_mlflow_user,),
    "prefect": (ensure_deployments,),
}
STAGES = (("postgres", "s3"), ("mlflow", "prefect"), ("intake", "worker-cpu", "worker-gpu"))


def start(settings: StackSettings, tell: Tell = print) -> dict[str, str]:
    """Start what does not run, wait until all is healthy, and give the credentials.

    Raises:
        StackError: if something does not start; what runs goes on, and a second try continues.
    """
    ensure_home(settings)
    credentials = ensure_credentials(settings)
    ensure_certificates(settings)
    write_files(settings)
    ensure_signing_key(settings)
    ensure_cluster(settings, credentials)
    ensure_postgres_tls(settings)
    write_client_file(settings, credentials)
    if settings.tls and not postgres_has_tls(settings):
        tell("  PostgreSQL is built without TLS: it speaks none, on this machine alone")
    manager = Manager(settings)
    manager.boot()
    questions = probes(settings, credentials)
    for stage in STAGES:
        for name in stage:
            manager.start(name)
        for name in stage:
            begun = time.monotonic()
            wait_for(settings, name, questions[name])
            for settle in AFTER.get(name, ()):
                settle(settings, credentials)
            tell(f"  {name:<11} healthy   {time.monotonic() - begun:5.1f} s")
    return credentials


def ensure_home(settings: StackSettings) -> None:
    """The stack's folder: its owner's alone; PostgreSQL's account may pass through."""
    settings.home.mkdir(parents=True, exist_ok=True)
    settings.home.chmod(0o711 if as_root() else 0o700)


def stop(settings: StackSettings, tell: Tell = print) -> bool:
    """Stop everything in order; whether anything ran. Data and passwords stay."""
    manager = Manager(settings)
    if not manager.is_running():
        return False
    for program in sorted(programs(settings), key=lambda one: -one.priority):
        manager.stop(program.name)
        tell(f"  {program.name:<11} stopped")
    pid = int((settings.run / "supervisord.pid").read_text(encoding="utf-8"))
    manager.shut_down()
    _wait_until_gone(pid)
    return True


def healthy(settings: StackSettings, credentials: Mapping[str, str]) -> dict[str, bool]:
    """Whether each program does its work, by its name."""
    return {name: asked(probe) for name, probe in probes(settings, credentials).items()}


def _wait_until_gone(pid: int) -> None:
    import psutil

    try:
        psutil.Process(pid).wait(timeout=60)
    except psutil.NoSuchProcess:
        return

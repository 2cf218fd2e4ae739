"""Whether each program does its work; how to wait until it does."""

import socket
import time
from collections.abc import Callable, Mapping
from functools import partial

import httpx

from infra.stack.config import StackSettings
from infra.stack.errors import StackError
from infra.stack.manager import Manager
from infra.stack.programs import PREFECT_USER
from infra.stack.tls import libpq, trust

PAUSE = 0.2
CALL_SECONDS = 10.0
Probe = Callable[[], bool]


def probes(settings: StackSettings, credentials: Mapping[str, str]) -> dict[str, Probe]:
    """A question for each program, by its name."""
    return {
        "postgres": partial(_postgres, settings, credentials),
        "s3": partial(_connects, settings, settings.s3_port),
        "mlflow": partial(_ok, settings, f"{settings.url(settings.mlflow_port)}/health"),
        "prefect": partial(_ok, settings, f"{settings.prefect_api}/ready"),
        "intake": partial(_ok, settings, f"{settings.url(settings.intake_port)}/readyz"),
        "worker-cpu": partial(_worker, settings, credentials, "cpu"),
        "worker-gpu": partial(_worker, settings, credentials, "gpu"),
    }


def wait_for(settings: StackSettings, name: str, probe: Probe) -> float:
    """Ask until the answer is yes; how many seconds it took.

    Raises:
        StackError: if that does not happen in time, or the process manager gave up.
    """
    begun = time.monotonic()
    manager = Manager(settings)
    while not asked(probe):
        states = [one["statename"] for one in manager.states() if one["group"] == name]
        if "FATAL" in states or time.monotonic() - begun > settings.healthy_within:
            raise StackError(
                f"{name} did not become healthy: {', '.join(states)} after "
                f"{time.monotonic() - begun:.0f} s. The rest goes on. "
                f"See {settings.logs / f'{name}-0.log'}."
            )
        time.sleep(PAUSE)
    return time.monotonic() - begun


def asked(probe: Probe) -> bool:
    """The answer of a probe; a program that cannot be asked is not healthy."""
    try:
        return probe()
    except (OSError, httpx.HTTPError):
        return False


def prefect_client(settings: StackSettings, credentials: Mapping[str, str]) -> httpx.Client:
    """A client of Prefect's API for what is asked of it here."""
    auth = (PREFECT_USER, credentials["PREFECT_PASSWORD"])
    return httpx.Client(
        base_url=settings.prefect_api, auth=auth, timeout=CALL_SECONDS, verify=trust(settings)
    )


def _postgres(settings: StackSettings, credentials: Mapping[str, str]) -> bool:
    import psycopg

    try:
        with psycopg.connect(
            host=settings.host,
            port=settings.postgres_port,
            user="postgres",
            dbname="postgres",
            password=credentials["POSTGRES_PASSWORD"],
            connect_timeout=5,
            **libpq(settings),
        ) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def _connects(settings: StackSettings, port: int) -> bool:
    with socket.create_connection((settings.host, port), timeout=CALL_SECONDS):
        return True


def _ok(settings: StackSettings, address: str) -> bool:
    return httpx.get(address, timeout=CALL_SECONDS, verify=trust(settings)).status_code == 200


def _worker(settings: StackSettings, credentials: Mapping[str, str], pool: str) -> bool:
    """Whether a live worker polls the pool, as Prefect knows it by its heartbeats."""
    running = {one["pid"] for one in Manager(settings).states() if one["group"] == f"worker-{pool}"}
    if not any(running):
        return False
    with prefect_client(settings, credentials) as client:
        token = csrf(client)
        found = client.post(f"/work_pools/{pool}/workers/filter", json={}, headers=token)
    return found.status_code == 200 and any(w["status"] == "ONLINE" for w in found.json())


def csrf(client: httpx.Client, name: str = "stack") -> dict[str, str]:
    """The headers that Prefect wants with what changes or filters something."""
    got = client.get("/csrf-token", params={"client": name})
    got.raise_for_status()
    return {"Prefect-Csrf-Token": got.json()["token"], "Prefect-Csrf-Client": name}

"""Nothing but health answers without credentials: all routes of all servers are asked."""

import asyncio
import json
import re
import subprocess
import sys

import httpx
import pytest
import websockets
from botocore.exceptions import ClientError
from websockets.exceptions import ConnectionClosed, InvalidStatus

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(900)]
# MLflow's routes as its server has them: those of Flask, and FastAPI's beside them.
MLFLOW_ROUTES = """
import json, os, sys
folder = sys.argv[1]
with open(f"{folder}/auth.ini", "w") as ini:
    ini.write(f"[mlflow]\\ndefault_permission = READ\\ndatabase_uri = sqlite:///{folder}/auth.db\\n"
              "admin_username = admin\\nadmin_password = routes-password-1\\n")
os.environ |= {"MLFLOW_AUTH_CONFIG_PATH": f"{folder}/auth.ini", "_MLFLOW_SGI_NAME": "uvicorn",
               "MLFLOW_FLASK_SERVER_SECRET_KEY": "routes-secret-key",
               "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{folder}/m.db"}
from mlflow.server import app, auth
made = auth.create_app()
routes = [(rule.rule, sorted(rule.methods)) for rule in app.url_map.iter_rules()]
routes += [(path, [m.upper() for m in ms]) for path, ms in made.openapi()["paths"].items()]
print(json.dumps(routes))
"""


def filled(path):
    """A path with something in the place of each parameter."""
    return re.sub(r"<[^>]+>|\{[^}]+\}", "1", path)


def asked(base, routes, *, known=None):
    """Paths that answer a stranger, with the status; every other one says 401, 403 or 404."""
    headers = {"X-Wrong": "1"}
    found = {}
    with httpx.Client(base_url=base, timeout=30, auth=known) as client:
        for path, method in routes:
            status = client.request(method, filled(path), headers=headers).status_code
            if status not in {401, 403}:
                found[f"{method} {path}"] = status
    return found


def of_openapi(document, prefix=""):
    for path, methods in document["paths"].items():
        for method in methods:
            if method in {"get", "post", "put", "patch", "delete", "head", "options"}:
                yield f"{prefix}{path}", method.upper()


def test_prefect(stack):
    settings, credentials = stack
    base, known = settings.url(settings.prefect_port), ("lethe", credentials["PREFECT_PASSWORD"])
    document = httpx.get(f"{base}/openapi.json", auth=known, timeout=60).json()
    prefix = "" if any(p.startswith("/api/") for p in document["paths"]) else "/api"
    pages = "/ /docs /redoc /openapi.json /ui-settings /api/docs /api/openapi.json /api/redoc /x"
    routes = [*of_openapi(document, prefix), *((page, "GET") for page in pages.split())]
    assert len(routes) > 150
    assert asked(base, routes) == {"GET /api/health": 200, "GET /api/ready": 200}
    wrong = ("lethe", "a-wrong-password")
    assert set(asked(base, routes[:40], known=wrong)) <= {"GET /api/health", "GET /api/ready"}
    assert httpx.get(f"{base}/", auth=known, timeout=30, follow_redirects=True).status_code == 200


@pytest.mark.parametrize("path", ["/api/events/in", "/api/events/out", "/api/logs/out"])
def test_prefect_tells_nothing_through_websockets(stack, path):
    settings, _ = stack

    async def listen():
        address = f"ws://{settings.host}:{settings.prefect_port}{path}"
        try:
            async with websockets.connect(address, subprotocols=["prefect"]) as socket:
                await socket.send(json.dumps({"type": "auth", "token": None}))
                said = json.loads(await asyncio.wait_for(socket.recv(), 30))
                return said.get("type")
        except (ConnectionClosed, InvalidStatus):
            return "closed"

    assert asyncio.run(listen()) in {"closed", "auth_failure"}


def test_prefect_wants_a_csrf_token_too(stack):
    settings, credentials = stack
    known = ("lethe", credentials["PREFECT_PASSWORD"])
    answer = httpx.post(f"{settings.prefect_api}/flows/", json={"name": "x"}, auth=known)
    assert (answer.status_code, "CSRF" in answer.text) == (403, True)


def test_mlflow(stack, tmp_path):
    settings, credentials = stack
    words = [sys.executable, "-c", MLFLOW_ROUTES, str(tmp_path)]
    made = subprocess.run(words, check=True, capture_output=True, text=True, cwd=tmp_path)
    listed = json.loads(made.stdout.splitlines()[-1])
    routes = [(path, method) for path, methods in listed for method in methods]
    assert len(routes) > 150
    base = settings.url(settings.mlflow_port)
    pages = ["/", "/docs", "/openapi.json", "/static-files/index.html", "/healthx", "/x"]
    found = asked(base, [*routes, *((page, "GET") for page in pages)])
    assert {name.partition(" ")[2] for name in found} == {"/health"}
    admin = ("admin", credentials["MLFLOW_ADMIN_PASSWORD"])
    assert httpx.get(f"{base}/", auth=admin, timeout=30).status_code == 200
    for guess in (("admin", "password1234"), ("admin", "password"), ("admin", "")):
        assert httpx.get(f"{base}/", auth=guess, timeout=30).status_code == 401


def test_mlflow_refuses_a_host_that_is_not_its_own(stack):
    settings, credentials = stack
    answer = httpx.get(
        f"{settings.url(settings.mlflow_port)}/api/2.0/mlflow/experiments/get?experiment_id=0",
        auth=("admin", credentials["MLFLOW_ADMIN_PASSWORD"]),
        headers={"Host": "attacker.example.org"},
        timeout=30,
    )
    assert answer.status_code == 403


def test_intake(stack):
    settings, credentials = stack
    base = settings.url(settings.intake_port)
    token = {"Authorization": f"Bearer {credentials['OPERATOR_TOKEN']}"}
    document = httpx.get(f"{base}/openapi.json", headers=token, timeout=30).json()
    routes = [*of_openapi(document), ("/", "GET"), ("/requests/{id}", "GET"), ("/docs", "GET")]
    routes.append(("/openapi.json", "GET"))
    found = asked(base, routes)
    assert {name for name, status in found.items() if status < 400} == {
        "GET /healthz",
        "GET /readyz",
    }
    assert set(found.values()) <= {200, 404, 400, 415, 422}


def test_s3_and_postgresql(stack):
    import boto3
    import psycopg

    settings, _ = stack
    address = settings.url(settings.s3_port)
    for path in ("/", "/mlflow-artifacts", "/mlflow-artifacts/x", "/lethe-dvc"):
        assert httpx.get(f"{address}{path}", timeout=30).status_code in {400, 403}
    stranger = boto3.client(
        "s3",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id="somebody",
        aws_secret_access_key="a-wrong-secret",  # noqa: S106 (a wrong one)
    )
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        stranger.list_buckets()
    for user in ("postgres", "lethe", "mlflow"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(
                host=settings.host,
                port=settings.postgres_port,
                user=user,
                dbname="lethe",
                password="postgres",  # noqa: S106 (a wrong one)
                passfile="/dev/null",
            )


def test_no_secret_is_on_a_command_line_in_a_configuration_a_log_or_a_job_variable(stack):
    import psutil

    settings, credentials = stack
    lines = " ".join(" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"]))
    assert str(settings.home) in lines
    texts = [lines]
    for folder in (settings.run, settings.logs):
        texts += [f.read_text(errors="replace") for f in folder.iterdir() if f.is_file()]
    known = ("lethe", credentials["PREFECT_PASSWORD"])
    with httpx.Client(base_url=settings.prefect_api, auth=known, timeout=30) as client:
        token = client.get("/csrf-token", params={"client": "t"}).json()["token"]
        head = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "t"}
        for path in ("/deployments/filter", "/work_pools/filter", "/flow_runs/filter"):
            answer = client.post(path, json={}, headers=head)
            assert answer.status_code == 200
            texts.append(answer.text)
    for name, secret in credentials.items():
        assert not any(secret in text for text in texts), name


def test_only_the_owner_reads_what_is_secret(stack):
    settings, _ = stack
    assert settings.secrets.stat().st_mode & 0o077 == 0
    for folder in (settings.run, settings.logs, settings.home / "s3", settings.home / "postgres"):
        assert folder.stat().st_mode & 0o077 == 0, folder
    for file in settings.secrets.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file

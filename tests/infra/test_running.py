"""MLflow and Prefect run here, behind the proxy of compose, with what prepare.sh made.

Only the databases are SQLite and the addresses free ports; entrypoint, scripts, proxy file,
certificates, passwords and variables are those of the containers.
"""

import base64
import contextlib
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

import infra_files as files
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]
IMAGES = files.INFRA / "images"
COMPOSE = files.INFRA / "compose"
SERVICES = files.compose()["services"]
PATH = f"{files.ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
PATH = f"{os.path.dirname(sys.executable)}:{PATH}"  # noqa: PTH120 (a search path)


def free_ports(count):
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


class Stack:
    """What was prepared, and the ports on which it is served."""

    def __init__(self, folder):
        self.folder = folder
        self.secrets = folder / "secrets"
        names = ("intake", "mlflow", "prefect", "tls_intake", "tls_mlflow", "tls_prefect", "health")
        self.ports = dict(zip(names, free_ports(len(names) + 1), strict=False))
        self.worker_port = free_ports(1)[0]

    def secret(self, name):
        return (self.secrets / name).read_text().strip()

    def environment(self, service, **more):
        """Variables of a service of compose, at the addresses here."""
        values = dict(SERVICES[service].get("environment", {}))
        here = {
            "https://mlflow:5443": f"https://localhost:{self.ports['tls_mlflow']}",
            "https://prefect:4443": f"https://localhost:{self.ports['tls_prefect']}",
            "/run/tls/ca.pem": str(self.secrets / "ca.pem"),
            "mlflow:5443": f"localhost:{self.ports['tls_mlflow']}",
            "/var/lib/lethe": str(self.folder / "var"),
            "/run/secrets/mlflow-auth.ini": str(self.folder / "mlflow-auth.ini"),
        }
        for name, value in values.items():
            for there, one in here.items():
                values[name] = values[name].replace(there, one)
            assert value is not None
        quiet = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        home = {"HOME": str(self.folder), "PREFECT_HOME": str(self.folder / "prefect")}
        return {"PATH": PATH} | home | quiet | values | more

    def secrets_of(self, service, **more):
        """A folder as a container has it under /run/secrets/env."""
        folder = self.folder / f"env-{service}"
        folder.mkdir(exist_ok=True)
        for one in SERVICES[service]["secrets"]:
            if isinstance(one, dict) and one["target"].startswith("/run/secrets/env/"):
                source = files.compose()["secrets"][one["source"]]["file"]
                shutil.copy(self.folder / source, folder / one["target"].rpartition("/")[2])
        for name, value in more.items():
            (folder / name).unlink(missing_ok=True)
            (folder / name).write_text(value)
        return str(folder)

    def run(self, service, *words, cwd=files.ROOT, secrets=None, **more):
        env = self.environment(service, SECRETS_DIR=secrets or self.secrets_of(service), **more)
        return subprocess.run(
            ["sh", str(IMAGES / "entrypoint.sh"), *words], env=env, cwd=cwd,
            capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip

    def start(self, service, *words, secrets, log, **more):
        env = self.environment(service, SECRETS_DIR=secrets, **more)
        return subprocess.Popen(
            ["sh", str(IMAGES / "entrypoint.sh"), *words], env=env, cwd=self.folder,
            stdout=(self.folder / log).open("w"), stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def ask(self, name, path, *, login=None, ca=True):
        """Status of an answer through the proxy."""
        context = ssl.create_default_context(cafile=str(self.secrets / "ca.pem") if ca else None)
        request = urllib.request.Request(f"https://localhost:{self.ports[name]}{path}")
        if login:
            token = base64.b64encode(login.encode()).decode()
            request.add_header("Authorization", f"Basic {token}")
        try:
            with urllib.request.urlopen(request, timeout=20, context=context) as answer:  # noqa: S310
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code


def wait_for(healthy, process, log):
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-2000:]
        if healthy():
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
    pytest.fail(log.read_text()[-2000:])


def is_healthy(address):
    checked = subprocess.run(
        [sys.executable, str(IMAGES / "health.py")], env={"HEALTH_URL": address},
        capture_output=True, check=False,
    )  # fmt: skip
    return checked.returncode == 0


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    nginx = files.tool("nginx", "Debian's nginx-light")
    files.tool("openssl", "the system")
    stack = Stack(tmp_path_factory.mktemp("stack"))
    subprocess.run(["sh", str(COMPOSE / "prepare.sh"), str(stack.folder)], check=True)
    ports, folder = stack.ports, stack.folder
    auth = re.sub(
        r"postgresql\S+", f"sqlite:///{folder / 'auth.db'}", stack.secret("mlflow-auth.ini")
    )
    (folder / "mlflow-auth.ini").write_text(auth)
    text = files.read(COMPOSE / "nginx.conf")
    for there, here in (
        ("/run/tls/tls.crt", stack.secrets / "proxy.crt"),
        ("/run/tls/tls.key", stack.secrets / "proxy.key"),
        ("intake:8020", f"127.0.0.1:{ports['intake']}"),
        ("mlflow-server:5000", f"127.0.0.1:{ports['mlflow']}"),
        ("prefect-server:4200", f"127.0.0.1:{ports['prefect']}"),
        ("listen 8443", f"listen 127.0.0.1:{ports['tls_intake']}"),
        ("listen 5443", f"listen 127.0.0.1:{ports['tls_mlflow']}"),
        ("listen 4443", f"listen 127.0.0.1:{ports['tls_prefect']}"),
        ("127.0.0.1:8081", f"127.0.0.1:{ports['health']}"),
    ):
        assert there in text
        text = text.replace(there, str(here))
    (folder / "run").mkdir()
    text = re.sub(r"(pid|_temp_path) /tmp/", rf"\1 {folder}/run/", text)
    (folder / "nginx.conf").write_text(text)
    words = [w.replace("0.0.0.0", "127.0.0.1") for w in SERVICES["mlflow-server"]["command"]]  # noqa: S104
    words = [w.replace("5000", str(ports["mlflow"])).replace("--workers=2", "--workers=1")
             .replace("/var/lib/lethe", str(folder / "var")) for w in words]  # fmt: skip
    mlflow = stack.start(
        "mlflow-server", *words, log="mlflow.log",
        secrets=stack.secrets_of(
            "mlflow-server", MLFLOW_BACKEND_STORE_URI=f"sqlite:///{folder / 'mlflow.db'}"
        ),
    )  # fmt: skip
    words = [w.replace("0.0.0.0", "127.0.0.1") for w in SERVICES["prefect-server"]["command"]]  # noqa: S104
    words = [w.replace("4200", str(ports["prefect"])) for w in words]
    prefect = stack.start(
        "prefect-server", *words, log="prefect.log",
        PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_TLS_ENABLED="false",
        secrets=stack.secrets_of(
            "prefect-server",
            PREFECT_SERVER_DATABASE_CONNECTION_URL=f"sqlite+aiosqlite:///{folder / 'prefect.db'}",
        ),
    )  # fmt: skip
    proxy = subprocess.Popen(
        [nginx, "-c", str(folder / "nginx.conf"), "-g", "daemon off;"], start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(
            lambda: is_healthy(f"http://127.0.0.1:{ports['mlflow']}/health"),
            mlflow, folder / "mlflow.log",
        )  # fmt: skip
        wait_for(
            lambda: is_healthy(f"http://127.0.0.1:{ports['prefect']}/api/health"),
            prefect, folder / "prefect.log",
        )  # fmt: skip
        yield stack
    finally:
        for process in (proxy, prefect, mlflow):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)


def test_both_are_reached_by_tls_and_by_their_password_alone(stack):
    mlflow, prefect = "/api/2.0/mlflow/experiments/get?experiment_id=0", "/api/admin/version"
    admin = f"admin:{stack.secret('mlflow-admin')}"
    assert stack.ask("tls_mlflow", mlflow) == 401
    assert stack.ask("tls_mlflow", mlflow, login="admin:password1234") == 401
    assert stack.ask("tls_mlflow", mlflow, login=admin) == 200
    assert stack.ask("tls_prefect", prefect) == 401
    assert stack.ask("tls_prefect", prefect, login="lethe:wrong") == 401
    assert stack.ask("tls_prefect", prefect, login=stack.secret("prefect-auth")) == 200
    with pytest.raises(urllib.error.URLError, match="certificate verify failed"):
        stack.ask("tls_prefect", prefect, ca=False)


def test_the_proxy_is_well_and_answers_for_a_server_that_is_not_there(stack):
    assert stack.ask("tls_intake", "/healthz") == 502
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.ports['health']}/") as answer:
        assert answer.status == 204


@pytest.fixture(scope="module")
def account(stack):
    """Runs the script that makes the workers' account."""
    folder = stack.folder / "account"
    folder.mkdir()
    for name, source in (("user", "mlflow-user"), ("password", "mlflow-password")):
        (folder / f"account-{name}").write_text(stack.secret(source))

    def make():
        script = str(IMAGES / "accounts.py")
        return stack.run("accounts", sys.executable, script, ACCOUNT_DIR=str(folder))

    return make, make()


def test_workers_get_an_account_in_mlflow_that_is_no_administrator(stack, account):
    make, made = account
    assert "MLflow has a new account lethe" in made.stdout, made.stderr[-2000:]
    again = make()
    assert "has its password" in again.stdout, again.stderr[-2000:]
    login = f"lethe:{stack.secret('mlflow-password')}"
    path = "/api/2.0/mlflow/registered-models/search"
    assert stack.ask("tls_mlflow", path, login=login) == 200
    assert stack.ask("tls_mlflow", "/api/2.0/mlflow/users/get?username=admin", login=login) == 403
    assert stack.secret("mlflow-password") not in made.stdout + made.stderr


def test_lethe_uses_mlflow_with_that_account_through_the_proxy(stack, account):
    program = (
        "from lethe.settings import load_settings\n"
        "from model_registry.connection import connect, experiment_id\n"
        "settings = load_settings()\n"
        "print(experiment_id(connect(settings), settings))\n"
    )
    home = {"LETHE_HOME": str(stack.folder / "state"), "LETHE_KEY_FILE": "record.key"}
    used = stack.run("worker", sys.executable, "-c", program, **home)
    assert used.stdout.strip().isdigit(), used.stderr[-2000:]
    stranger = stack.secrets_of("worker") + "-without"
    shutil.copytree(stack.secrets_of("worker"), stranger)
    os.unlink(f"{stranger}/MLFLOW_TRACKING_PASSWORD")  # noqa: PTH108
    refused = stack.run("worker", sys.executable, "-c", program, secrets=stranger, **home)
    assert refused.returncode != 0


def test_pools_and_deployments_are_made_and_a_worker_takes_one(stack):
    made = stack.run("deploy", "sh", str(IMAGES / "deploy.sh"), "process")
    assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-2000:]
    again = stack.run("deploy", "sh", str(IMAGES / "deploy.sh"), "process")
    assert again.returncode == 0, again.stderr[-2000:]
    listed = stack.run("deploy", "prefect", "deployment", "ls").stdout
    assert "deletion-requests/on-demand" in listed
    unknown = stack.run("deploy", "sh", str(IMAGES / "deploy.sh"), "heroku")
    assert (unknown.returncode, "Nothing was made" in unknown.stderr) == (64, True)

    text = files.read(files.DOCKERFILE)
    (command,) = re.findall(r'CMD \["sh", "-c", "(exec prefect worker .+?)"\]$', text, re.MULTILINE)
    worker = stack.start(
        "worker", "sh", "-c", command.replace('\\"', '"'), log="worker.log",
        secrets=stack.secrets_of("worker"),
        PREFECT_WORKER_WEBSERVER_PORT=str(stack.worker_port),
        PREFECT_WORKER_WEBSERVER_HOST="127.0.0.1",
    )  # fmt: skip
    try:
        wait_for(
            lambda: is_healthy(f"http://127.0.0.1:{stack.worker_port}/health"),
            worker, stack.folder / "worker.log",
        )  # fmt: skip
    finally:
        os.killpg(worker.pid, 15)
        worker.wait(60)


def test_templates_of_the_other_types_are_taken_by_the_server(stack):
    for kind in ("docker", "kubernetes"):
        made = stack.run(
            "deploy", "prefect", "--no-prompt", "work-pool", "create", f"pool-{kind}",
            "--type", kind, "--base-job-template", str(files.INFRA / "templates" / f"{kind}.json"),
        )  # fmt: skip
        assert made.returncode == 0, made.stdout[-1500:] + made.stderr[-1500:]

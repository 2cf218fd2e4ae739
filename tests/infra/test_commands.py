"""Commands, ports and addresses of the deployment files, held against the programs themselves."""

import re
import shlex

import infra_files as files
import pytest
import typer

from lethe.settings import Settings


def commands():
    """Every command that a container runs, with the variables that it finds."""
    for name, service in files.compose()["services"].items():
        if isinstance(service.get("command"), list):
            yield f"compose:{name}", service["command"]
    for name, pod in files.pods(files.manifests()):
        for container in pod["spec"]["containers"]:
            if "args" in container:
                yield f"kubernetes:{name}", container["args"]
    text = files.read(files.DOCKERFILE).replace('\\"', "'")
    for line in re.findall(r"^CMD (\[.*\])$", text, re.MULTILINE):
        words = re.findall(r'"([^"]*)"', line)
        yield "Dockerfile", shlex.split(words[2])[1:] if words[:2] == ["sh", "-c"] else words
    for line in re.findall(
        r"^(?:exec )?\s*(prefect .+)$",
        files.read(files.INFRA / "images" / "deploy.sh").replace("\\\n", " "),
        re.MULTILINE,
    ):
        yield "deploy.sh", [re.sub(r"\$\w+", "value", word) for word in shlex.split(line)]


def of(program):
    found = [(place, words) for place, words in commands() if words[0] == program]
    return [
        pytest.param(words, id=f"{place}-{number}") for number, (place, words) in enumerate(found)
    ]


@pytest.mark.parametrize("words", of("lethe"))
def test_commands_of_lethe_are_commands(words):
    from cli.main import app

    command = typer.main.get_command(app).commands[words[1]]
    command.make_context(words[1], list(words[2:]))


def parse_prefect(words):
    from prefect.cli._app import _app

    rest = [word for word in words if word != "--no-prompt"]  # of every command
    return _app.parse_args(rest, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("words", of("prefect"))
def test_commands_of_prefect_are_commands(words):
    parse_prefect(words[1:])


def test_a_wrong_command_of_prefect_would_be_noticed():
    with pytest.raises(Exception, match="Unknown option"):
        parse_prefect(["worker", "start", "--healthcheck-please"])


@pytest.mark.parametrize("words", of("mlflow"))
def test_commands_of_mlflow_are_commands(words):
    from mlflow.cli import server

    parsed = server.make_context("server", list(words[2:])).params
    assert parsed["app_name"] == "basic-auth"
    assert str(parsed["port"]) == "5000"


@pytest.mark.parametrize("words", [p for name in ("deploy.sh", "python") for p in of(name)])
def test_scripts_that_are_run_are_in_the_image(words):
    text = files.read(files.DOCKERFILE)
    name = words[-1].rpartition("/")[2] if words[0] == "python" else words[0]
    assert f"infra/images/{name}" in text
    assert (files.INFRA / "images" / name).is_file()


def test_all_programs_were_found():
    assert {words[0] for _, words in commands()} >= {"lethe", "prefect", "mlflow", "deploy.sh"}
    assert len(of("prefect")) >= 5


def health_addresses():
    for place, values in files.environments():
        if "HEALTH_URL" in values:
            yield place, values["HEALTH_URL"]
    for name, pod in files.pods(files.manifests()):
        for container in pod["spec"]["containers"]:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                for word in container.get(probe, {}).get("exec", {}).get("command", []):
                    if word.startswith("HEALTH_URL="):
                        yield f"{name}:{probe}", word.removeprefix("HEALTH_URL=")


def test_health_is_asked_where_each_server_answers():
    from mlflow.server.security_utils import HEALTH_ENDPOINTS

    from lethe.deletion.intake import health

    intake = set(re.findall(r'@router\.get\(\s*"(/\w+)"', files.read(_source(health))))
    assert {"/healthz", "/readyz", "/metrics"} <= intake
    served = {
        str(Settings().intake.port): intake,
        "5000": set(HEALTH_ENDPOINTS),
        "4200": {"/api/health", "/api/ready"},
        "8080": {"/health"},
    }
    asked = dict(health_addresses())
    for place, address in asked.items():
        port, path = re.fullmatch(r"http://127\.0\.0\.1:(\d+)(/.*)", address).groups()
        assert path in served[port], place
    assert len(asked) > 10


def test_prefect_answers_there():
    from prefect.server.api import server
    from prefect.settings.models.worker import WorkerWebserverSettings
    from prefect.workers import server as worker

    text = files.read(_source(server))
    assert 'health_check_path: str = "/health"' in text
    assert '"/ready"' in text
    assert '"/health"' in files.read(_source(worker))
    assert WorkerWebserverSettings().port == 8080


def _source(module):
    from pathlib import Path

    return Path(module.__file__)


def upstreams(text):
    """Port of TLS and server behind it, of a configuration of nginx."""
    for block in re.findall(r"server \{(.*?)\n    \}", text, re.DOTALL):
        port = re.search(r"listen (\d+) ssl", block)
        behind = re.search(r"(?:set \$upstream |proxy_pass http://)([\w.-]+:\d+)", block)
        if port:
            yield port[1], behind[1]


def test_the_proxy_leads_to_what_listens_there():
    in_compose = dict(upstreams(files.read(files.INFRA / "compose" / "nginx.conf")))
    in_pods = dict(upstreams(files.read(files.INFRA / "kubernetes" / "base" / "nginx.conf")))
    assert in_compose == {
        "8443": "intake:8020", "5443": "mlflow-server:5000", "4443": "prefect-server:4200"
    }  # fmt: skip
    assert {p: s.replace("127.0.0.1", "x").rpartition(":")[2] for p, s in in_pods.items()} == {
        p: s.rpartition(":")[2] for p, s in in_compose.items()
    }
    assert {s.partition(":")[0] for s in in_compose.values()} <= set(files.compose()["services"])


def test_workers_take_the_pools_that_there_are():
    import yaml

    deployments = yaml.safe_load(files.read(files.ROOT / "prefect.yaml"))["deployments"]
    pools = {one["work_pool"]["name"] for one in deployments}
    taken = {
        v["WORK_POOL"] for p, v in files.environments() if "WORK_POOL" in v and p != "Dockerfile"
    }
    assert pools <= taken

"""The deployment files as data, and the tools that look at them."""

import functools
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
COMPOSE = sorted((INFRA / "compose").glob("compose*.yaml"))
OVERLAYS = ("cpu", "gpu")
TEMPLATES = sorted((INFRA / "templates").glob("*.json"))
DOCKERFILE = INFRA / "images" / "Dockerfile"
SCRIPTS = sorted([*INFRA.glob("images/*.sh"), *INFRA.glob("compose/*.sh")])


def read(path):
    return path.read_text(encoding="utf-8")


@functools.cache
def compose(name="compose.yaml"):
    return yaml.safe_load(read(INFRA / "compose" / name))


@functools.cache
def rendered(overlay):
    """All objects of an overlay, as kustomize makes them."""
    kubectl = shutil.which("kubectl")
    tool = [kubectl, "kustomize"] if kubectl else [shutil.which("kustomize"), "build"]
    if tool[0] is None:
        pytest.skip("neither kubectl nor kustomize is installed, so no overlay was rendered")
    folder = str(INFRA / "kubernetes" / "overlays" / overlay)
    made = subprocess.run([*tool, folder], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return list(yaml.safe_load_all(made.stdout))


def of_kind(overlay, *kinds):
    return {one["metadata"]["name"]: one for one in rendered(overlay) if one["kind"] in kinds}


def manifests():
    """All objects of the base as they are written, without a tool."""
    for file in sorted((INFRA / "kubernetes" / "base").glob("*.yaml")):
        for one in yaml.safe_load_all(read(file)):
            if one["kind"] != "Kustomization":
                yield one


def pods(objects):
    """Name and pod template of everything that makes pods."""
    for one in objects:
        if one["kind"] in {"Deployment", "Job", "StatefulSet", "DaemonSet"}:
            yield one["metadata"]["name"], one["spec"]["template"]


def tool(name, package):
    """Path of a program; the test is skipped, and says so, where it is not there."""
    found = shutil.which(name) or shutil.which(str(ROOT / ".venv" / "bin" / name))
    if found is None:
        pytest.skip(f"{name} is not installed ({package}), so this was not checked")
    return found


def environments():
    """Every environment that a file sets: where it stands, and its variables with values."""
    for file in COMPOSE:
        for name, service in compose(file.name).get("services", {}).items():
            yield f"{file.name}:{name}", dict(service.get("environment", {}))
    for name, pod in pods(manifests()):
        for container in pod["spec"]["containers"]:
            values = {v["name"]: v.get("value", "") for v in container.get("env", [])}
            yield f"kubernetes:{name}/{container['name']}", values
    base = yaml.safe_load(read(INFRA / "kubernetes" / "base" / "kustomization.yaml"))
    for one in base["configMapGenerator"]:
        if one["name"] == "places":
            continue  # values for commands, no environment
        pairs = (literal.partition("=") for literal in one.get("literals", []))
        yield f"kubernetes:{one['name']}", {key: value for key, _, value in pairs}
    text = read(DOCKERFILE).replace("\\\n", " ")
    for line in re.findall(r"^ENV (.+)$", text, re.MULTILINE):
        yield "Dockerfile", dict(re.findall(r"(\w+)=(\S+)", line))


def secret_variables():
    """Variables that the entrypoint makes of files: where, and which."""
    for file in COMPOSE:
        for name, service in compose(file.name).get("services", {}).items():
            for secret in service.get("secrets", []):
                target = secret if isinstance(secret, str) else secret.get("target", "")
                if target.startswith("/run/secrets/env/"):
                    yield f"{file.name}:{name}", target.rpartition("/")[2]


def job_variables(template):
    return json.loads(read(template))["variables"]["properties"]

"""Base job templates: the workers of Prefect read them, and what they confine stays confined."""

import json
import re

import infra_files as files
import pytest

SECRET = re.compile(r"password|token|secret|auth|credential", re.IGNORECASE)


def template(name):
    return json.loads(files.read(files.INFRA / "templates" / f"{name}.json"))


def configuration(name):
    """The configuration class of the worker of a type of pool."""
    if name == "process":
        from prefect.workers.process import ProcessJobConfiguration

        return ProcessJobConfiguration
    reason = f"prefect-{name} is not installed (the extra infra)"
    if name == "docker":
        module = pytest.importorskip("prefect_docker.worker", reason=reason)
        return module.DockerWorkerJobConfiguration
    module = pytest.importorskip("prefect_kubernetes.worker", reason=reason)
    return module.KubernetesWorkerJobConfiguration


def job_of(kind, **values):
    """What a worker makes of a template, but for blocks of a server, of which they have none."""
    from prefect.utilities.templating import apply_values

    base = template(kind)
    variables = base["variables"]["properties"]
    defaults = {k: v["default"] for k, v in variables.items() if v.get("default") is not None}
    assert "prefect.blocks" not in json.dumps(base)
    made = configuration(kind)
    return made(**apply_values(base["job_configuration"], defaults | values, remove_notset=True))


def test_there_is_one_for_each_type_of_pool():
    assert {path.stem for path in files.TEMPLATES} == {"process", "docker", "kubernetes"}


def test_a_worker_of_the_process_type_reads_its_template():
    job = job_of("process", command="prefect flow-run execute")
    assert job.command == "prefect flow-run execute"


def test_a_worker_of_the_docker_type_makes_a_confined_container():
    job = job_of("docker", image="lethe-worker:0.1.0-cuda")
    made = job.container_create_kwargs
    assert job.image == "lethe-worker:0.1.0-cuda"
    assert job.privileged is False
    assert made["user"] == "10001:10001"
    assert made["read_only"] is True
    assert made["cap_drop"] == ["ALL"]
    assert made["security_opt"] == ["no-new-privileges:true"]
    secrets = [volume for volume in job.volumes if "/run/" in volume or "/etc/" in volume]
    assert secrets
    assert all(volume.endswith(":ro") for volume in secrets)
    assert not any("docker.sock" in volume for volume in job.volumes)


def test_a_worker_of_the_kubernetes_type_makes_a_job_like_the_editor():
    job = job_of("kubernetes", gpus="1", image="lethe-worker:0.1.0-cuda", name="run")
    manifest = job.job_manifest
    spec = manifest["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    pods = dict(files.pods(files.manifests()))
    editor = pods["editor"]["spec"]
    (of_editor,) = editor["containers"]
    for key in ("securityContext", "serviceAccountName", "automountServiceAccountToken"):
        assert spec[key] == editor[key]
    assert container["securityContext"] == of_editor["securityContext"]
    assert container["envFrom"] == of_editor["envFrom"]

    def mounts(one):
        return {(m["name"], m["mountPath"], m.get("readOnly", False)) for m in one["volumeMounts"]}

    assert mounts(container) == mounts(of_editor)
    assert {v["name"]: v for v in spec["volumes"]} == {v["name"]: v for v in editor["volumes"]}


def test_kubernetes_would_take_that_job():
    library = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate is not installed (the extra infra)"
    )
    job = job_of("kubernetes", name="run", command="prefect flow-run execute", env={"A": "b"})
    manifest = dict(job.job_manifest)
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    # What the worker itself puts into the form of Kubernetes before it sends a job.
    container["env"] = [{"name": k, "value": v} for k, v in job.env.items()]
    container["args"] = job.command.split()
    manifest["metadata"]["labels"] = {}
    library.validate(manifest, "1.34", strict=True)


@pytest.mark.parametrize("path", files.TEMPLATES, ids=lambda path: path.stem)
def test_job_variables_hold_no_secret_and_open_nothing(path):
    variables = files.job_variables(path)
    assert not any(SECRET.search(name) for name in variables)
    opening = {"privileged", "volumes", "network_mode", "networks", "container_create_kwargs",
               "service_account_name", "namespace", "cluster_config"}  # fmt: skip
    assert not opening & set(variables)
    for one in variables.values():
        assert not one.get("default") or not SECRET.search(json.dumps(one["default"]))
    fixed = json.loads(files.read(path))["job_configuration"]
    assert fixed["env"] == "{{ env }}"


def test_every_variable_that_a_template_names_is_one_of_its_own():
    for path in files.TEMPLATES:
        text = json.dumps(json.loads(files.read(path))["job_configuration"])
        assert set(re.findall(r"\{\{ (\w+) \}\}", text)) == set(files.job_variables(path))

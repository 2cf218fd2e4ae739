"""The Kubernetes files: schemas, and what a cluster would be told about each pod."""

import itertools
import re

import infra_files as files
import pytest
import yaml

VERSION = "1.34"
BASE = files.INFRA / "kubernetes" / "base"
PODS = dict(files.pods(files.manifests()))
SERVERS = {"intake": 8443, "mlflow": 5443, "prefect": 4443}
WORKERS = {"worker", "editor"}
JOBS = {"deploy", "accounts"}


def validate(one):
    library = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate is not installed (the extra infra)"
    )
    library.validate(one, VERSION, strict=True)


@pytest.mark.parametrize("overlay", files.OVERLAYS)
def test_overlays_have_the_schemas_of_kubernetes(overlay):
    made = files.rendered(overlay)
    assert len(made) > 25
    for one in made:
        validate(one)


def test_the_base_has_the_schemas_of_kubernetes():
    for one in files.manifests():
        validate(one)


def test_a_wrong_manifest_would_be_noticed():
    (deployment,) = [o for o in files.manifests() if o["metadata"]["name"] == "intake"
                     and o["kind"] == "Deployment"]  # fmt: skip
    with pytest.raises(Exception, match="replicass"):
        validate(deployment | {"spec": deployment["spec"] | {"replicass": 2}})


def test_all_pods_are_known():
    assert set(PODS) == set(SERVERS) | WORKERS | JOBS


@pytest.mark.parametrize("name", PODS)
def test_pods_meet_the_restricted_standard(name):
    spec = PODS[name]["spec"]
    context = spec["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC"))
    assert all("hostPath" not in volume for volume in spec["volumes"])
    for container in spec["containers"]:
        inside = container["securityContext"]
        assert inside["allowPrivilegeEscalation"] is False
        assert inside["readOnlyRootFilesystem"] is True
        assert inside["capabilities"] == {"drop": ["ALL"]}


def test_the_namespace_refuses_pods_that_do_not():
    namespace = yaml.safe_load(files.read(BASE / "namespace.yaml"))
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("name", PODS)
def test_every_container_has_requests_and_limits(name):
    for container in PODS[name]["spec"]["containers"]:
        for kind in ("requests", "limits"):
            assert {"cpu", "memory"} <= set(container["resources"][kind])


@pytest.mark.parametrize("name", sorted(set(SERVERS) | WORKERS))
def test_what_stays_is_probed_and_has_a_disruption_budget(name):
    main = PODS[name]["spec"]["containers"][0]
    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(main)
    budgets = [o for o in files.manifests() if o["kind"] == "PodDisruptionBudget"]
    (budget,) = [b for b in budgets if b["metadata"]["name"] == name]
    labels = PODS[name]["metadata"]["labels"]
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert budget["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("name", SERVERS)
def test_servers_listen_on_the_loopback_address_behind_tls(name):
    main, proxy = PODS[name]["spec"]["containers"]
    listens = " ".join([*main["args"], *(str(e.get("value")) for e in main["env"])])
    assert "127.0.0.1" in listens
    assert "0.0.0.0" not in listens  # noqa: S104 (that is the point)
    assert "ports" not in main
    assert [p["containerPort"] for p in proxy["ports"]] == [SERVERS[name]]
    (service,) = [o for o in files.manifests() if o["kind"] == "Service"
                  and o["metadata"]["name"] == name]  # fmt: skip
    assert [p["port"] for p in service["spec"]["ports"]] == [SERVERS[name]]
    assert service["spec"].get("type", "ClusterIP") == "ClusterIP"


def test_figures_are_not_open_though_the_service_listens_on_the_loopback_address():
    from lethe.deletion.intake.health import metrics_are_open
    from lethe.settings import Settings
    from lethe.settings_sections import IntakeSettings

    settings = dict(files.environments())["kubernetes:settings"]
    public = settings["LETHE_INTAKE__PUBLIC_URL"]
    behind = Settings(intake=IntakeSettings(host="127.0.0.1", public_url=public))
    assert not metrics_are_open(behind)
    assert metrics_are_open(Settings(intake=IntakeSettings(host="127.0.0.1")))


def policies():
    return {o["metadata"]["name"]: o["spec"] for o in files.manifests()
            if o["kind"] == "NetworkPolicy"}  # fmt: skip


def covers(selector, name):
    labels = {"app.kubernetes.io/name": name}
    if not (selector.get("matchLabels") or {}).items() <= labels.items():
        return False
    return all(
        labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", [])
    )


def reaches(source, target):
    """Ports on which one pod may call another, by both sides' policies."""

    def ports(direction, here, there, peer):
        for spec in policies().values():
            if not covers(spec["podSelector"], here):
                continue
            for rule in spec.get(direction, []):
                peers = [p for p in rule.get(peer, []) if set(p) == {"podSelector"}]
                if any(covers(p["podSelector"], there) for p in peers):
                    yield from (one["port"] for one in rule["ports"])

    out = set(ports("egress", source, target, "to"))
    return out & set(ports("ingress", target, source, "from"))


def test_nothing_is_reached_that_is_not_named():
    refused = policies()["nothing-by-default"]
    assert refused == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_who_reaches_whom():
    found = {(a, b): reaches(a, b) for a, b in itertools.permutations(PODS, 2) if reaches(a, b)}
    assert found == {
        ("intake", "prefect"): {4443},
        ("worker", "mlflow"): {5443},
        ("worker", "prefect"): {4443},
        ("editor", "mlflow"): {5443},
        ("editor", "prefect"): {4443},
        ("deploy", "prefect"): {4443},
        ("accounts", "mlflow"): {5443},
    }


def test_nobody_reaches_the_metadata_service_or_other_private_addresses_by_way_of_outside():
    for spec in policies().values():
        for rule in spec.get("egress", []):
            for peer in rule["to"]:
                if peer.get("ipBlock", {}).get("cidr") == "0.0.0.0/0":
                    assert "169.254.0.0/16" in peer["ipBlock"]["except"]
                    assert "10.0.0.0/8" in peer["ipBlock"]["except"]
                    assert rule["ports"] == [{"protocol": "TCP", "port": 443}]


def test_only_the_intake_service_is_reached_from_other_namespaces():
    open_to = {name for name, spec in policies().items() for rule in spec.get("ingress", [])
               for peer in rule["from"] if "namespaceSelector" in peer}  # fmt: skip
    assert open_to == {"intake"}
    ingress = [o for o in files.manifests() if o["kind"] == "Ingress"]
    assert [o["metadata"]["name"] for o in ingress] == ["intake"]
    assert ingress[0]["spec"]["tls"]


def test_secrets_are_named_and_never_written():
    assert not [o for o in files.manifests() if o["kind"] == "Secret"]
    for name, pod in PODS.items():
        for container in pod["spec"]["containers"]:
            assert all("secretRef" not in one for one in container.get("envFrom", [])), name
            for variable in container.get("env", []):
                assert "secretKeyRef" not in variable.get("valueFrom", {}), name


def test_every_secret_is_on_the_page_of_deployment():
    page = files.read(files.ROOT / "docs" / "deployment.md")
    text = page.split("\n## Kubernetes\n", 1)[1].split("\n## ", 1)[0]
    named = {v["secret"]["secretName"] for pod in PODS.values() for v in pod["spec"]["volumes"]
             if "secret" in v}  # fmt: skip
    named |= {
        o["spec"]["tls"][0]["secretName"] for o in files.manifests() if o["kind"] == "Ingress"
    }
    assert set(re.findall(r"^\| `(lethe-[\w-]+)` \|", text, re.MULTILINE)) == named


def test_every_mount_has_its_volume_and_every_volume_its_mount():
    for name, pod in PODS.items():
        spec = pod["spec"]
        mounted = {m["name"] for c in spec["containers"] for m in c["volumeMounts"]}
        assert mounted == {v["name"] for v in spec["volumes"]}, name


def test_pods_that_clients_trust_hold_no_private_key():
    for name in WORKERS | JOBS:
        (ca,) = [v for v in PODS[name]["spec"]["volumes"] if v["name"] == "ca"]
        assert ca["secret"]["items"] == [{"key": "ca.crt", "path": "ca.pem"}]


def test_edits_go_to_gpus_in_one_overlay_and_to_cpus_in_the_other():
    gpu, cpu = (files.of_kind(o, "Deployment")["editor"] for o in ("gpu", "cpu"))
    spec = gpu["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["image"].endswith("-cuda")
    assert spec["nodeSelector"] == {"lethe/pool": "gpu"}
    assert spec["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert gpu["spec"]["strategy"]["type"] == "Recreate"
    (container,) = cpu["spec"]["template"]["spec"]["containers"]
    assert "nvidia.com/gpu" not in container["resources"]["limits"]
    assert container["image"].endswith("-cpu")
    assert cpu["spec"]["template"]["spec"]["nodeSelector"] == {"lethe/pool": "cpu"}


@pytest.mark.parametrize("overlay", files.OVERLAYS)
def test_images_of_an_overlay_have_exact_versions(overlay):
    for _, pod in files.pods(files.rendered(overlay)):
        for container in pod["spec"]["containers"]:
            assert re.search(r":\d+\.\d+\.\d+[\w.-]*$|@sha256:", container["image"])


def test_the_service_accounts_are_those_of_the_roles_on_aws():
    text = files.read(files.INFRA / "aws" / "storage.yaml")
    of_roles = set(re.findall(r"kubernetes-service-account\": (\w+)", text))
    accounts = {o["metadata"]["name"] for o in files.manifests() if o["kind"] == "ServiceAccount"}
    assert of_roles <= accounts
    assert {PODS[name]["spec"]["serviceAccountName"] for name in WORKERS} == {"worker"}

"""The compose files: their schema, who is confined how, and what prepare.sh makes for them."""

import re
import stat
import subprocess
import urllib.parse

import infra_files as files
import pytest

FOLDER = files.INFRA / "compose"
SERVICES = files.compose()["services"]
ONCE = {"accounts", "deploy"}


@pytest.mark.parametrize("file", files.COMPOSE, ids=lambda file: file.name)
def test_compose_files_have_the_schema_of_compose(file):
    program = files.tool("check-jsonschema", "the extra infra")
    found = subprocess.run(
        [program, "--builtin-schema", "vendor.compose-spec", str(file)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout


def test_a_wrong_compose_file_would_be_noticed(tmp_path):
    program = files.tool("check-jsonschema", "the extra infra")
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(files.read(FOLDER / "compose.yaml").replace("read_only:", "readonly:"))
    command = [program, "--builtin-schema", "vendor.compose-spec", str(wrong)]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined(name):
    service = SERVICES[name]
    user, _, group = service["user"].partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] > 0
    assert "mem_limit" in service


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_asked_whether_it_is_well(name):
    service = SERVICES[name]
    if name in ONCE:
        assert service["restart"] == "no"
    elif service["image"].startswith("lethe-"):
        assert "healthcheck" not in service, "that of its image"
    else:
        assert service["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_has_an_exact_version(name):
    image = re.sub(r"\$\{LETHE_VERSION:-([\d.]+)\}", r"\1", SERVICES[name]["image"])
    assert re.fullmatch(r"[\w/-]+:v?\d+\.\d+[\w.-]*(@sha256:\w+)?", image)


def test_only_this_machine_reaches_a_port_unless_somebody_says_so():
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == 4
    for port in published:
        assert port.startswith(("127.0.0.1:", "${BIND:-127.0.0.1}:"))
    assert [p for p in published if "BIND" in p] == ["${BIND:-127.0.0.1}:8443:8443"]


def test_servers_are_reached_through_the_proxy_alone():
    networks = files.compose()["networks"]
    for network, server in (("intake", "intake"), ("mlflow", "mlflow-server"),
                            ("prefect", "prefect-server")):  # fmt: skip
        members = {name for name, one in SERVICES.items() if network in one["networks"]}
        assert members == {server, "proxy"}
        assert networks[network] == {"internal": True}
    assert {n for n, one in SERVICES.items() if "database" in one["networks"]} == {
        "postgres", "mlflow-server", "prefect-server", "intake", "worker", "editor"
    }  # fmt: skip
    assert networks["database"] == networks["clients"] == {"internal": True}


def test_nothing_secret_is_on_a_command_line_or_in_a_healthcheck():
    for name, service in SERVICES.items():
        words = [*service.get("command", []), *service.get("healthcheck", {}).get("test", [])]
        text = " ".join(map(str, words)).lower()
        assert not re.search(r"password|secret|token|://[^/]*:[^/]*@", text), name


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """What prepare.sh makes in an empty folder."""
    files.tool("openssl", "the system")
    folder = tmp_path_factory.mktemp("compose")
    made = prepare(folder)
    assert made.returncode == 0, made.stderr
    return folder


def prepare(folder):
    return subprocess.run(
        ["sh", str(FOLDER / "prepare.sh"), str(folder)], capture_output=True, text=True, check=False
    )


def names(folder):
    return [path.name for path in (folder / "secrets").iterdir()]


def content(folder, name):
    return (folder / "secrets" / name).read_bytes()


def test_prepare_makes_every_secret_that_compose_names(prepared):
    for one in files.compose()["secrets"].values():
        assert (prepared / one["file"]).stat().st_size > 0
    assert stat.S_IMODE((prepared / "secrets").stat().st_mode) == 0o700
    assert stat.S_IMODE((prepared / "secrets" / "ca.key").stat().st_mode) == 0o400


def test_prepare_prints_no_secret_and_changes_nothing_that_is_there(prepared):
    before = {n: content(prepared, n) for n in names(prepared)}
    again = prepare(prepared)
    assert again.returncode == 0
    assert {n: content(prepared, n) for n in before} == before
    for name in ("operator-token", "postgres-lethe", "mlflow-admin", "prefect-auth"):
        assert before[name].decode() not in again.stdout + again.stderr


def test_two_installations_share_no_secret(prepared, tmp_path):
    prepare(tmp_path)
    same = {"mlflow-admin-user", "mlflow-user"}
    for name in names(prepared):
        if name not in same:
            assert content(tmp_path, name) != content(prepared, name), name


def test_every_database_is_reached_by_a_verified_connection(prepared):
    for name in ("ledger-url", "mlflow-store"):
        url = urllib.parse.urlsplit(content(prepared, name).decode())
        query = urllib.parse.parse_qs(url.query)
        assert query == {"sslmode": ["verify-full"], "sslrootcert": ["/run/tls/ca.pem"]}
        assert url.hostname == "postgres"
    values = SERVICES["prefect-server"]["environment"]
    prefix = "PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_TLS_"
    assert values[f"{prefix}ENABLED"] == "true"
    assert values[f"{prefix}CA_FILE"] == "/run/tls/ca.pem"
    rules = files.read(FOLDER / "pg_hba.conf").splitlines()
    remote = [r.split() for r in rules if r.startswith("host")]
    assert {r[0] for r in remote} == {"hostssl"}
    assert all(r[1].startswith(r[2]) and r[4] == "scram-sha-256" for r in remote)


def test_certificates_are_for_the_names_by_which_services_are_reached(prepared):
    secrets = prepared / "secrets"
    aliases = SERVICES["proxy"]["networks"]["clients"]["aliases"]
    for certificate, reached in (("proxy", [*aliases, "localhost"]), ("postgres", ["postgres"])):
        for name in reached:
            checked = subprocess.run(
                ["openssl", "verify", "-CAfile", str(secrets / "ca.pem"), "-verify_hostname", name,
                 str(secrets / f"{certificate}.crt")],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert checked.returncode == 0, checked.stderr
    wrong = ["openssl", "verify", "-CAfile", str(secrets / "ca.pem"), "-verify_hostname", "else",
             str(secrets / "proxy.crt")]  # fmt: skip
    assert subprocess.run(wrong, capture_output=True, check=False).returncode != 0


def test_mlflow_reads_its_configuration_and_gives_no_rights_by_default(prepared):
    import configparser

    parser = configparser.ConfigParser()
    parser.read_string(content(prepared, "mlflow-auth.ini").decode())
    assert parser["mlflow"]["default_permission"] == "NO_PERMISSIONS"
    store = content(prepared, "mlflow-store").decode()
    assert parser["mlflow"]["database_uri"] == store.replace("/mlflow?", "/mlflow_auth?")
    assert "admin_password" not in parser["mlflow"]


@pytest.mark.parametrize("file", ["infra/compose/nginx.conf", "infra/kubernetes/base/nginx.conf"])
def test_nginx_takes_its_configuration(prepared, tmp_path, file):
    program = files.tool("nginx", "Debian's nginx-light")
    text = files.read(files.ROOT / file)
    for end in ("crt", "key"):
        text = text.replace(f"/run/tls/tls.{end}", str(prepared / "secrets" / f"proxy.{end}"))
    (tmp_path / "nginx.conf").write_text(text)
    checked = subprocess.run(
        [program, "-t", "-c", str(tmp_path / "nginx.conf")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr


def test_the_sample_policy_is_a_policy(prepared):
    from lethe.deletion.policy.load import load_policy

    policy = load_policy(prepared / "policy.toml")
    assert {token.name for token in policy.tokens} == {"desk", "metrics"}
    assert policy.approval.approvers == ("operator",)
    mounted = {s["target"] for s in SERVICES["intake"]["secrets"]}
    for token in policy.tokens:
        assert f"/run/secrets/env/{token.secret.ref.removeprefix('env:')}" in mounted
    base = files.INFRA / "kubernetes" / "base" / "policy.toml"
    assert files.read(base) == files.read(FOLDER / "policy.sample.toml")


def test_what_is_made_is_never_committed():
    for name in ("infra/compose/secrets/record.key", "infra/compose/policy.toml"):
        ignored = subprocess.run(["git", "check-ignore", "-q", name], cwd=files.ROOT, check=False)
        assert ignored.returncode == 0

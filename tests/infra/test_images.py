"""The images: their recipe, what gets into them, and the scripts that run in them."""

import http.server
import os
import re
import subprocess
import sys
import textwrap
import threading
import tomllib

import infra_files as files
import pytest

IMAGES = files.INFRA / "images"
TEXT = files.read(files.DOCKERFILE)
LINES = TEXT.replace("\\\n", " ")
ENTRYPOINT = IMAGES / "entrypoint.sh"
HEALTH = IMAGES / "health.py"


def test_hadolint_has_no_complaint():
    program = files.tool("hadolint", "the extra infra")
    found = subprocess.run(
        [program, "--failure-threshold", "style", str(files.DOCKERFILE)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (found.returncode, found.stdout) == (0, "")


def test_hadolint_would_complain(tmp_path):
    program = files.tool("hadolint", "the extra infra")
    wrong = tmp_path / "Dockerfile"
    wrong.write_text("FROM python:latest\nRUN cd /opt && sudo pip install torch\n")
    assert subprocess.run([program, str(wrong)], capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("script", files.SCRIPTS, ids=lambda script: script.name)
def test_shellcheck_has_no_complaint(script):
    program = files.tool("shellcheck", "the extra infra")
    found = subprocess.run([program, str(script)], capture_output=True, text=True, check=False)
    assert found.stdout == ""


def stages():
    return re.findall(r"^FROM (\S+) AS (\S+)$", LINES, re.MULTILINE)


def test_bases_have_exact_versions_and_come_from_one_place():
    names = {name for _, name in stages()}
    outside = {base.partition("@")[0] for base, _ in stages() if base not in names}
    assert outside == {"python:3.11.15-slim-trixie"}
    assert {"server", "worker-cpu", "worker-cuda"} <= names


def test_the_last_stages_are_not_root_and_have_a_health_check():
    runtime = LINES.split("AS runtime", 1)[1]
    assert re.findall(r"^USER (\S+)$", runtime, re.MULTILINE) == ["10001:10001"]
    assert runtime.count("\nHEALTHCHECK ") == 2  # server and worker; the others stand on these
    assert 'ENTRYPOINT ["entrypoint.sh"]' in runtime
    assert {base for base, name in stages() if name in {"server", "worker"}} == {"runtime"}


def requirements(name):
    lines = files.read(IMAGES / f"{name}.txt").splitlines()
    return {re.split(r"[\[=<>]", line)[0].lower() for line in lines if not line.startswith("#")}


def declared():
    project = tomllib.loads(files.read(files.ROOT / "pyproject.toml"))["project"]
    return {re.split(r"[\[=<>]", line)[0].lower() for line in project["dependencies"]}


def test_workers_have_every_package_that_lethe_asks_for():
    assert requirements("worker") == declared()


def test_servers_have_no_others_and_neither_pytorch_nor_dvc():
    assert requirements("server") <= declared() | {"flask-wtf"}
    assert not requirements("server") & {"torch", "dvc", "torchmetrics", "safetensors"}


def test_every_package_of_an_image_is_pinned():
    pins = files.read(files.ROOT / "constraints.txt").lower().replace("_", "-")
    pinned = set(re.findall(r"^([\w.-]+)==", pins, re.MULTILINE))
    assert requirements("worker") | requirements("server") <= pinned
    assert "-c constraints.txt" in TEXT


def test_the_intake_service_starts_without_pytorch_and_dvc(tmp_path):
    missing = sorted((declared() - requirements("server")) & {
        "torch", "dvc", "torchmetrics", "safetensors", "threadpoolctl", "moocore"
    })  # fmt: skip
    program = textwrap.dedent(f"""
        import sys
        class Missing:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in {missing}:
                    raise ModuleNotFoundError(name)
        sys.meta_path.insert(0, Missing())
        import uvicorn
        uvicorn.Server.run = lambda self, sockets=None: print("would serve")
        sys.argv = ["lethe", "intake", "--port", "0"]
        from cli.main import main
        main()
    """)
    (tmp_path / "policy.toml").write_text(
        files.read(files.INFRA / "compose" / "policy.sample.toml")
    )
    environment = os.environ | {"LETHE_HOME": str(tmp_path / "state")}
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert "would serve" in ran.stdout, ran.stderr
    assert "torch" in missing


def ignored():
    return files.read(IMAGES / "Dockerfile.dockerignore").split("\n")


def test_nothing_gets_into_an_image_that_is_not_named():
    patterns = [line for line in ignored() if line and not line.startswith("#")]
    assert patterns[0] == "*"
    allowed = {p[1:].partition("/")[0] for p in patterns if p.startswith("!")}
    assert allowed == {
        "cli", "flows", "tasks", "model_registry", "lethe", "infra",
        "prefect.yaml", "pyproject.toml", "constraints.txt", "README.md", "LICENSE",
    }  # fmt: skip
    assert not any("compose" in p or "secrets" in p or "data" in p for p in patterns)


def test_what_is_copied_is_there_and_gets_through():
    import fnmatch

    allowed = [p[1:] for p in ignored() if p.startswith("!")]
    for line in re.findall(r"^COPY (?!--from)(.+)$", LINES, re.MULTILINE):
        sources = [word for word in line.split()[:-1] if not word.startswith("--")]
        for source in sources:
            assert source == "." or (files.ROOT / source).is_file()
            assert source == "." or any(fnmatch.fnmatch(source, p) for p in allowed)


def test_no_secret_is_needed_to_build():
    assert not re.search(r"^(?:ARG|ENV) .*(?:PASSWORD|TOKEN|SECRET|KEY)", LINES, re.MULTILINE)


@pytest.fixture
def secrets(tmp_path):
    folder = tmp_path / "env"
    folder.mkdir()
    return folder


def enter(secrets, *words):
    return subprocess.run(
        ["sh", str(ENTRYPOINT), *words],
        env={"PATH": os.environ["PATH"], "SECRETS_DIR": str(secrets)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_files_become_variables_of_the_program_and_of_nothing_else(secrets):
    value = 'a "quoted" $(value) with spaces\nand a second line'
    (secrets / "LETHE_LEDGER__URL").write_text(value + "\n")
    (secrets / "..data").mkdir()
    (secrets / "lower").write_text("no")
    shown = enter(secrets, "python3", "-c", "import os; print(os.environ['LETHE_LEDGER__URL'])")
    assert shown.stdout == value + "\n"
    names = enter(secrets, "env").stdout
    assert "lower" not in names
    assert "..data" not in names


def test_the_entrypoint_gives_the_program_its_place_and_its_words(secrets):
    shown = enter(secrets, "sh", "-c", 'echo "$#:$1"; exit 7', "x", "two words")
    assert (shown.returncode, shown.stdout) == (7, "1:two words\n")


def test_without_secrets_the_program_starts(tmp_path):
    assert enter(tmp_path / "none", "echo", "started").stdout == "started\n"


def test_an_empty_secret_stops_the_start_and_is_named(secrets):
    (secrets / "PREFECT_API_AUTH_STRING").write_text("")
    stopped = enter(secrets, "echo", "started")
    assert (stopped.returncode, stopped.stdout) == (78, "")
    assert "PREFECT_API_AUTH_STRING is empty" in stopped.stderr


@pytest.fixture
def service():
    """A server that answers 200 on /well and 503 elsewhere."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/well" else 503)
            self.end_headers()

        def log_message(self, *words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def health(address):
    return subprocess.run(
        [sys.executable, str(HEALTH)],
        env={"HEALTH_URL": address, "http_proxy": "http://127.0.0.1:9"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_health_check_says_what_the_service_says(service):
    assert health(f"{service}/well").returncode == 0
    ill = health(f"{service}/ill")
    assert ill.returncode == 1
    assert "503" in ill.stderr


def test_the_health_check_fails_where_nobody_listens():
    assert health("http://127.0.0.1:9/well").returncode == 1

"""Every variable that a deployment file names is one that the code or the package knows."""

import re

import infra_files as files
import pytest

from lethe.settings import PREFIX, Settings, leaves

DOCUMENTED = files.ROOT / "docs" / "deployment.md"
LETHE = {PREFIX + name.replace(".", "__").upper() for name, _ in leaves(Settings)}
# What the images' own scripts, the shell and other programs read.
OWN = {"HEALTH_URL", "WORK_POOL", "SECRETS_DIR", "ACCOUNT_DIR", "ARTIFACTS"}
OTHERS = {
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_REGION",
    "DVC_NO_ANALYTICS",
    "HOME",
    "NVIDIA_DRIVER_CAPABILITIES",
    "NVIDIA_VISIBLE_DEVICES",
    "PATH",
    "PIP_DISABLE_PIP_VERSION_CHECK",
    "PIP_NO_CACHE_DIR",
    "POSTGRES_INITDB_ARGS",
    "POSTGRES_PASSWORD_FILE",
    "POSTGRES_USER",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONUNBUFFERED",
}
# Tokens of the sample policy, which refers to them.
TOKENS = set(re.findall(r'"env:(\w+)"', files.read(files.INFRA / "compose" / "policy.sample.toml")))


def prefect_names():
    from pydantic import BaseModel

    def walk(model):
        prefix = model.model_config.get("env_prefix", "")
        for name, field in model.model_fields.items():
            inner = field.annotation
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from walk(inner)
            else:
                yield f"{prefix}{name}".upper()
                alias = field.validation_alias
                for choice in getattr(alias, "choices", [alias] if alias else []):
                    yield str(choice).upper()

    from prefect.settings import Settings as PrefectSettings

    return set(walk(PrefectSettings))


def mlflow_names():
    import click
    from mlflow import cli, environment_variables
    from mlflow.environment_variables import _EnvironmentVariable

    known = {
        one.name for one in vars(environment_variables).values()
        if isinstance(one, _EnvironmentVariable)
    }  # fmt: skip
    for option in cli.server.params:
        if isinstance(option, click.Option) and option.envvar:
            known |= {option.envvar} if isinstance(option.envvar, str) else set(option.envvar)
    return known


@pytest.fixture(scope="module")
def known():
    return LETHE | OWN | OTHERS | TOKENS | prefect_names() | mlflow_names()


def named():
    for place, values in files.environments():
        for name in values:
            yield place, name
    yield from files.secret_variables()


def test_every_variable_is_known(known):
    unknown = {(place, name) for place, name in named() if name not in known}
    # Grafana is not here to be asked; its variables are those of its documentation.
    assert {one for one in unknown if not one[1].startswith("GF_")} == set()


def test_there_are_variables_to_check():
    found = {name for _, name in named()}
    assert {"LETHE_LEDGER__URL", "MLFLOW_BACKEND_STORE_URI", "PREFECT_API_URL"} <= found
    assert len(found) > 40


@pytest.mark.parametrize(
    "wrong", ["LETHE_LEDGER_URL", "MLFLOW_BACKEND_STORE", "PREFECT_API_SSL_CERT"]
)
def test_a_misspelt_variable_would_be_noticed(known, wrong):
    assert wrong not in known


def test_lethe_takes_the_values_that_are_set(monkeypatch):
    from lethe.settings import load_settings

    for place, values in files.environments():
        with monkeypatch.context() as inside:
            for name, value in values.items():
                if name.startswith(PREFIX) and value:
                    inside.setenv(name, re.sub(r"\$\{\w+:[-?](.*?)\}", r"\1", str(value)))
            assert load_settings(), place


def test_pickles_are_off_and_no_client_leaves_certificates_unchecked():
    for place, values in files.environments():
        assert values.get("LETHE_MODELS__ALLOW_PICKLE", "false") == "false", place
        assert values.get("MLFLOW_TRACKING_INSECURE_TLS", "false") == "false", place
        assert values.get("PREFECT_API_TLS_INSECURE_SKIP_VERIFY", "false") == "false", place
        assert "MLFLOW_S3_IGNORE_TLS" not in values, place
        for name, value in values.items():
            if name in {"LETHE_MLFLOW__TRACKING_URI", "PREFECT_API_URL", "MLFLOW_TRACKING_URI"}:
                assert value.startswith("https://"), place
    images = dict(pair for p, v in files.environments() if p == "Dockerfile" for pair in v.items())
    assert images["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"


def test_every_client_has_an_authority_to_believe():
    clients = 0
    for place, values in files.environments():
        if "PREFECT_API_URL" in values:
            clients += 1
            assert values["PREFECT_API_SSL_CERT_FILE"], place
            assert values["MLFLOW_TRACKING_SERVER_CERT_PATH"], place
    assert clients >= 4


SECRET = re.compile(
    r"PASSWORD$|SECRET|TOKEN$|AUTH_STRING|_KEY$|DATABASE_CONNECTION_URL|STORE_URI|LEDGER__URL"
)


def test_no_secret_is_a_value_in_any_file():
    for place, values in files.environments():
        found = {n for n in values if SECRET.search(n)}
        assert found == set(), place


def test_a_secret_in_a_file_would_be_noticed():
    assert all(
        SECRET.search(name)
        for name in ("LETHE_LEDGER__URL", "PREFECT_API_AUTH_STRING", "MLFLOW_TRACKING_PASSWORD")
    )

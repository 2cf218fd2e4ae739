"""Expected errors end with one message on standard error, their own exit code, and no output."""

import pytest
import typer

from cli import main as entry
from lethe import errors
from lethe.errors import LetheError

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, LetheError)
]


def failing(error):
    app = typer.Typer()

    @app.command()
    def fail():
        raise error

    return app


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_error_gives_its_message_and_code(lethe, monkeypatch, kind):
    monkeypatch.setattr(entry, "app", failing(kind("It broke. Nothing was done. Type [this].")))
    code, out, err = lethe()
    assert (code, out) == (kind.exit_code, "")
    assert err == "It broke. Nothing was done. Type [this].\n"


def test_kinds_are_told_apart():
    codes = {kind.exit_code for kind in KINDS}
    assert len(codes) == 9
    assert 0 not in codes


def test_what_is_not_expected_is_not_hidden(lethe, monkeypatch):
    monkeypatch.setattr(entry, "app", failing(ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError):
        lethe()


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("unlearn", "--nonsense"),
        ("unlearn",),
        ("unlearn", "digits@champion"),
        ("unlearn", "m/1", "--dataset", "d", "--classes", "3", "--option", "epochs"),
        ("train",),
        ("data", "import", "npz", "x.npz"),
        ("data", "import", "npz", "x.npz", "--name", "x", "--held-out", "1.5"),
    ],
)
def test_a_wrong_command_line_is_2(lethe, words):
    code, out, err = lethe(*words)
    assert (code, out) == (2, "")
    assert any(sign in err for sign in ("Error", "Usage", "Nothing was done"))


def test_an_unknown_setting_is_2_and_named(lethe, monkeypatch):
    monkeypatch.setenv("LETHE_SEEED", "3")
    code, out, err = lethe("config", "show")
    assert (code, out) == (2, "")
    assert "LETHE_SEEED" in err


def test_a_wrong_value_is_2_and_named(lethe, tmp_path):
    (tmp_path / "lethe.toml").write_text("[gates]\nmin_agreement = 7\n")
    code, _, err = lethe("config", "show")
    assert code == 2
    assert "gates.min_agreement" in err


@pytest.mark.parametrize(
    "words",
    [
        ("data", "import", "npz", "nothing.npz", "--name", "x"),
        ("data", "import", "npz", "nothing.npz", "--name", "../x"),
        ("data", "import", "images", ".", "--name", "x", "--size", "big"),
        ("data", "show", "data/nothing"),
        ("unlearn", "m/1", "--dataset", "d", "--samples-file", "nothing.txt"),
    ],
)
def test_data_that_cannot_be_had_is_4(lethe, tmp_path, words):
    code, out, err = lethe(*words)
    assert (code, out) == (4, "")
    assert "Nothing was" in err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("model", "show", "nothing/1"),
        ("model", "show", "nothing@champion"),
        ("model", "show", "not a version"),
        ("model", "promote", "nothing/1"),
        ("model", "rollback", "nothing"),
        ("model", "adopt", "nothing/1", "--factory", "a.b:c"),
    ],
)
def test_a_version_that_is_not_there_is_5(lethe, registry, words):
    code, out, err = lethe(*words)
    assert (code, out) == (5, "")
    assert "Nothing was changed" in err


def test_a_malformed_factory_is_2(lethe, registry):
    code, _, err = lethe("model", "adopt", "nothing/1", "--factory", "not-a-factory")
    assert code == 2
    assert "PACKAGE.MODULE:CALLABLE" in err


def test_a_registry_that_cannot_be_reached_is_7_and_not_an_absent_version(lethe, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("LETHE_MLFLOW__TRACKING_URI", "http://127.0.0.1:9")
    code, out, err = lethe("model", "show", "digits/1")
    assert (code, out) == (7, "")
    assert "MLflow did not answer" in err
    assert "There is no model version" not in err


def test_passwords_in_addresses_are_not_shown(lethe, monkeypatch):
    monkeypatch.setenv("LETHE_MLFLOW__TRACKING_URI", "http://anna:s3cret@127.0.0.1:9")
    monkeypatch.setenv("LETHE_DATA__REPOSITORY", "https://anna:s3cret@example.org/d.git")
    for words in (("config", "show"), ("config", "show", "--json"), ("ui",)):
        code, out, err = lethe(*words)
        assert code == 0
        assert "s3cret" not in out + err


def test_a_filed_request_takes_no_other_selection(lethe):
    code, _, err = lethe("unlearn", "digits@champion", "--request", "req-1")
    assert code == 2
    assert "says itself what is to be forgotten" in err

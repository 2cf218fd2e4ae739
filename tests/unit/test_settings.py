"""Settings: sources, precedence, strictness, origins."""

import pytest
from pydantic import ValidationError

from lethe.errors import SettingsError
from lethe.settings import Settings, leaves, load_settings, origins


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def source_of(name):
    return {leaf: source for leaf, _, source in origins(load_settings())}[name]


def test_defaults_keep_everything_under_the_state_folder(tmp_path):
    settings = load_settings()
    assert settings.state == tmp_path / ".lethe"
    assert settings.tracking_uri == f"sqlite:///{tmp_path / '.lethe' / 'mlflow.db'}"
    assert {source for _, _, source in origins(settings)} == {"default"}


def test_arguments_beat_environment_beats_file_beats_default(tmp_path, monkeypatch):
    (tmp_path / "lethe.toml").write_text("seed = 1\n[gates]\nmin_agreement = 0.5\n")
    assert load_settings().seed == 1
    assert source_of("seed") == str(tmp_path / "lethe.toml")
    monkeypatch.setenv("LETHE_SEED", "2")
    assert load_settings().seed == 2
    assert source_of("seed") == "environment LETHE_SEED"
    assert load_settings(seed=3).seed == 3
    assert load_settings().gates.min_agreement == 0.5
    assert load_settings().gates.max_retained_loss == Settings().gates.max_retained_loss


def test_the_file_is_found_from_a_folder_below(tmp_path, monkeypatch):
    (tmp_path / "lethe.toml").write_text('device = "cpu"\n')
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    assert load_settings().device == "cpu"


@pytest.mark.parametrize(
    ("variable", "value", "leaf", "expected"),
    [
        ("LETHE_MODELS__ALLOW_PICKLE", "true", "allow_pickle", True),
        ("LETHE_MODELS__FACTORIES", '["a.b", "c"]', "factories", ("a.b", "c")),
        ("LETHE_MODELS__ALIAS", "42", "alias", "42"),
    ],
)
def test_environment_text_is_read_as_the_fields_type(monkeypatch, variable, value, leaf, expected):
    monkeypatch.setenv(variable, value)
    assert getattr(load_settings().models, leaf) == expected


@pytest.mark.parametrize(
    "text",
    [
        'seed = "3"',  # strict: a string is no number
        "sede = 3",
        "[data]\nmax_share = 1.5",
        "[models]\nallow_pickle = 1",
        "not toml",
    ],
)
def test_wrong_files_are_refused(tmp_path, text):
    (tmp_path / "lethe.toml").write_text(text)
    with pytest.raises(SettingsError, match="Nothing was done"):
        load_settings()


@pytest.mark.parametrize("variable", ["LETHE_SEDE", "LETHE_DATA__SHARE"])
def test_a_misspelt_variable_is_refused(monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    with pytest.raises(SettingsError, match=variable):
        load_settings()


def test_settings_are_frozen():
    with pytest.raises(ValidationError):
        load_settings().seed = 4


def test_every_setting_is_described():
    assert [name for name, description in leaves(Settings) if not description] == []


def test_state_lies_in_the_projects_folder_from_wherever_it_is_asked(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path / "docs")
    assert load_settings().state == tmp_path / ".lethe"
    monkeypatch.setenv("LETHE_HOME", str(tmp_path / "else"))
    assert load_settings().state == tmp_path / "else"

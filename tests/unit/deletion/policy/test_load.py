import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from lethe.deletion.policy.load import load_policy, no_policy
from lethe.deletion.policy.model import SecretRef, registered_name
from lethe.errors import PolicyError
from lethe.settings import Settings

ROOT = Path(__file__).parents[4]
GITHUB = '[sources.hub]\nkind = "github"\n'
APPROVERS = '[approval]\napprovers = ["dpo"]\n'
JIRA = '[sources.desk]\nkind = "jira"\n'
BEARER = '[[tokens]]\nname = "t"\nsecret = "env:T"\nactor = "dpo"\n'


def causes(error):
    """An exception and everything that it keeps."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def test_the_example_is_valid_and_complete():
    policy = load_policy(ROOT / "policy.example.toml", Settings())
    assert {source.kind for source in policy.sources.values()} == {
        "github",
        "jira",
        "opendsr",
        "standard-webhooks",
        "plain",
    }
    for part in ("approval", "holds", "regulations", "models", "notify", "tokens"):
        assert getattr(policy, part), part
    assert policy.model_rule("digits@champion").refuse_above.dataset == 0.5
    assert policy.model_rule("other/3").approve_always


def test_without_a_file_there_is_the_operator_alone(tmp_path):
    policy = load_policy(tmp_path / "policy.toml", Settings())
    assert policy == no_policy(Settings())
    assert policy.sources == {}
    assert policy.source("cli").models == ("*",)
    with pytest.raises(PolicyError, match="names no such source"):
        policy.source("privacy-issues")


def test_the_name_of_an_unknown_source_is_not_repeated():
    with pytest.raises(PolicyError) as caught:
        no_policy(Settings()).source("anna-smith")
    assert "anna" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ("vershun = 1", "vershun", "no such key"),
        ("[models.digits]\nmax_id = 3", "models.digits.max_id", "no such key"),
        ('[models.digits]\npromote = "yes"', "models.digits.promote", "true or false"),
        ("[models.digits]\nmax_ids = 1.5", "models.digits.max_ids", "whole number"),
        ("[models.digits]\nmax_ids = 0", "models.digits.max_ids", "greater than"),
        ('[models."digits@champion"]', "digits@champion", "registered name alone"),
        ('[models.digits]\nladder = [{method = "ptf"}]', "ladder.0.method", "none of the methods"),
        ("[models.digits]\nladder = [{}]", "models.digits.ladder.0", "retrain = true"),
        (
            '[models.digits]\nladder = [{method = "pte", retrain = true}]',
            "models.digits.ladder.0",
            "retrain = true",
        ),
        (
            '[models.digits]\nladder = [{method = "pte", options = {rate = nan}}]',
            "models.digits.ladder.0",
            "numbers",
        ),
        ("[models.digits]\napprove_above = {class = 1.5}", "approve_above.class", "less than"),
        ("[models.digits]\nrefuse_above = {rows = 1}", "refuse_above.rows", "no such key"),
        (
            APPROVERS + "[models.digits]\napprove_above.dataset = 0.5\nrefuse_above.dataset = 0.5",
            "approve_above.dataset",
            "less than refuse_above",
        ),
        ("[approval]\nneeded = 1", "approval.approvers", "nobody could approve"),
        ("[approval]\napprovers = ['a']\nneeded = 2", "approval.needed", "more than there are"),
        ("[approval]\napprovers = ['a@example.org']", "approval.approvers.0", "match"),
        ("[models.digits]\napprove_always = true", "models.digits", "names nobody"),
        ("[models.digits]\napprove_above = {class = 0.1}", "models.digits", "names nobody"),
        (GITHUB + "approve_always = true", "sources.hub", "names nobody"),
        (
            "[approval]\napprovers = ['a']\nneeded = 0\n" + GITHUB + "approve_always = true",
            "sources.hub",
            "needed is 0",
        ),
        ("[[holds]]\nreason = 'x'", "holds.0", "models, datasets or sources"),
        ("[[holds]]\nreason = 'x'\nsources = ['gone']", "holds.0.sources", "no source gone"),
        ("[[holds]]\nreason = 'x'\nmodels = ['digits']", "holds.0.models.0", "matches no model"),
        ("[regulations.gdpr]\ndays = 99", "regulations.gdpr", "built in"),
        ("[regulations.lgpd]\nextension_days = 9", "regulations.lgpd", "more than 0"),
        (GITHUB + 'regulation = "lgpd"', "sources.hub.regulation", "none of this name"),
        ('[sources.Hub]\nkind = "github"', "sources.Hub", "match"),
        ('[sources.hub]\nkind = "gitlab"', "sources.hub.kind", "github"),
        ('[sources.hub]\nkind = "cli"', "sources.hub.kind", "no other"),
        ('[sources.cli]\nkind = "plain"', "sources.cli.kind", "no other"),
        (JIRA, "sources.desk", "no default"),
        (GITHUB + 'models = ["digits"]', "sources.hub.models.0", "matches no model"),
        (GITHUB + 'datasets = ["../data"]', "sources.hub.datasets.0", "no path inside"),
        (GITHUB + 'datasets = "data/digits"', "sources.hub.datasets", "must be a list"),
        (GITHUB + 'selections = ["rows"]', "sources.hub.selections.0", "classes"),
        (GITHUB + 'selections = ["whole"]', "sources.hub", "for cli only"),
        (GITHUB + 'file_when = "action =="', "sources.hub.file_when", "no JMESPath"),
        (GITHUB + 'file_when = "includes(a, b)"', "sources.hub.file_when", "no function"),
        (GITHUB + '[sources.hub.fields]\nmodel = "a"', "sources.hub.fields.dataset", "missing"),
        (
            GITHUB + '[sources.hub.fields]\nmodel = "a"\ndataset = "b"',
            "sources.hub",
            "nothing is selected",
        ),
        (
            GITHUB + '[sources.hub.fields]\nmodel="a"\ndataset="b"\nclasses="c"\nticket="d"',
            "sources.hub",
            "standard-webhooks",
        ),
        (
            GITHUB + '[sources.hub.fields]\nmodel="a"\ndataset="b"\nclasses="c"\nlabels="d"',
            "fields.labels",
            "no such key",
        ),
        (GITHUB + '[sources.hub.answer]\napi = "ftp://example.org"', "answer.api", "https://"),
        (GITHUB + '[sources.hub.answer]\napi = "https://"', "answer.api", "https://"),
        (GITHUB + '[sources.hub.answer]\napi = "https://a:99999/"', "answer.api", "https://"),
        (
            GITHUB + 'secrets = [{ref = "env:A", not_after = 2026-12-01T00:00:00}]',
            "not_after",
            "of",
        ),
        (GITHUB + 'secrets = [{ref = "env:A", not_after = "2026"}]', "not_after", "date and time"),
        (
            GITHUB + 'secrets = [{ref = "env:A", not_before = 2026-12-01T00:00:00Z, '
            "not_after = 2026-12-01T00:00:00Z}]",
            "secrets.0",
            "must lie before",
        ),
        ('[sources.p]\nkind = "plain"\nsecrets = ["env:A"]', "sources.p.secrets", "[[tokens]]"),
        (
            '[[notify]]\nurl = "https://example.org"\nsecret = "env:A"\non = ["done"]',
            "notify.0.on.0",
            "received",
        ),
        (BEARER + 'may = ["submit"]', "tokens.0.source", "is missing"),
        (BEARER + 'source = "gone"', "tokens.0.source", "no source gone"),
        (BEARER + 'source = "hub"\n' + GITHUB, "tokens.0.source", "kind plain"),
        (BEARER + 'may = ["approve"]', "tokens.0.actor", "does not name it"),
        (BEARER + 'may = ["root"]', "tokens.0.may.0", "submit"),
        (BEARER + BEARER, "tokens", "twice"),
    ],
)
def test_a_mistake_is_told_with_file_key_and_reason(tmp_path, text, key, reason):
    file = tmp_path / "policy.toml"
    file.write_text(f'version = "1"\n{text}\n')
    with pytest.raises(PolicyError) as caught:
        load_policy(file, Settings())
    message = str(caught.value)
    assert str(file) in message
    assert key in message
    assert reason in message
    assert "not put into force" in message
    assert "lethe policy check" in message
    assert "\n" not in message


@pytest.mark.parametrize("version", ["", "2026 11", "a@b", "x" * 41])
def test_a_version_is_a_short_name(tmp_path, version):
    file = tmp_path / "policy.toml"
    file.write_text(f'version = "{version}"\n')
    with pytest.raises(PolicyError, match="version"):
        load_policy(file, Settings())


@pytest.mark.parametrize(
    "text",
    [
        GITHUB + 'secrets = ["hunter2hunter2hunter2"]',
        GITHUB + 'secrets = [{ref = "hunter2hunter2hunter2"}]',
        GITHUB + 'secrets = ["env:hunter2 hunter2"]',
        GITHUB + 'secrets = "hunter2"',
        GITHUB + '[sources.hub.answer]\ntoken = "ghp_hunter2"',
        GITHUB + '[sources.hub.answer]\napi = "https://bot:hunter2@example.org"',
        '[[notify]]\nurl = "https://example.org"\nsecret = "whsec_hunter2"',
        '[[notify]]\nurl = "hooks.example.org/hunter2"\nsecret = "env:A"',
        '[[tokens]]\nname = "t"\nactor = "dpo"\nsecret = "hunter2"',
        '[[tokens]]\nname = "t"\nactor = "dpo"\nsecret = {reff = "hunter2"}',
        '[[tokens]]\nname = "t"\nactor = "dpo"\nsecret = "env:A"\nmay = ["hunter2"]',
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path, text):
    file = tmp_path / "policy.toml"
    file.write_text(f'version = "1"\n{text}\n')
    with pytest.raises(PolicyError) as caught:
        load_policy(file, Settings())
    assert all("hunter2" not in f"{one!s}{one!r}" for one in causes(caught.value))


@pytest.mark.parametrize(
    "content", [b"version = ", b'version = "\xff"', b"version = 1\nversion = 2"]
)
def test_what_is_no_toml_is_told(tmp_path, content):
    file = tmp_path / "policy.toml"
    file.write_bytes(content)
    with pytest.raises(PolicyError, match="is wrong: it"):
        load_policy(file, Settings())


def test_pydantic_itself_does_not_repeat_a_secret_either():
    with pytest.raises(ValidationError) as caught:
        SecretRef.model_validate("hunter2")
    assert "not a reference" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_policy_is_read_without_anything_heavy():
    code = (
        "import sys, lethe.deletion.policy.explain, lethe.deletion.policy.load; "
        "print(sorted({'torch', 'mlflow', 'prefect', 'dvc'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert run.stdout.strip() == "[]"


def test_a_folder_is_no_policy(tmp_path):
    with pytest.raises(PolicyError, match="cannot be read: IsADirectoryError"):
        load_policy(tmp_path, Settings())


def test_a_policy_cannot_be_changed(policy_of):
    policy = policy_of()
    with pytest.raises(ValueError, match="frozen"):
        policy.version = "t2"


def test_secrets_rotate(policy_of):
    hub = policy_of(
        GITHUB + 'secrets = ["env:NEW", {ref = "file:/old", not_after = 2026-12-01T02:00:00+02:00}]'
    ).source("hub")
    assert hub.secrets[0] == SecretRef(ref="env:NEW")
    assert hub.secrets[1].not_after.isoformat() == "2026-12-01T02:00:00+02:00"


def test_the_label_names_version_and_content(policy_of):
    label = policy_of().label
    version, digest = label.split("@sha256:")
    assert version == "t1"
    assert len(digest) == 12
    assert set(digest) <= set("0123456789abcdef")
    assert policy_of().label == label
    assert policy_of("[models.digits]\nmax_ids = 5").label != label


def test_the_label_does_not_depend_on_the_machine(policy_of):
    assert policy_of(data={"repository": "/somewhere"}).label == policy_of().label


def test_alias_and_repository_come_from_the_settings_unless_the_source_has_its_own(policy_of):
    policy = policy_of(
        '[sources.own]\nkind = "plain"\nrepository = "https://example.org/data.git"',
        data={"repository": "elsewhere"},
        models={"alias": "live"},
    )
    for name in ("portal", "cli"):
        assert policy.source(name).data_repository == "elsewhere"
        assert policy.source(name).alias == "live"
    assert policy.source("own").data_repository == "https://example.org/data.git"


def test_the_rule_of_a_model_is_its_own_or_that_of_all_others(policy_of):
    policy = policy_of('[models.digits]\nmax_ids = 1\n[models."*"]\nmax_ids = 2')
    assert policy.model_rule("digits").max_ids == 1
    assert policy.model_rule("digits@champion").max_ids == 1
    assert policy.model_rule("digits/7").max_ids == 1
    assert policy.model_rule("watch").max_ids == 2
    assert policy_of().model_rule("watch").max_ids == 10_000


@pytest.mark.parametrize(
    ("model", "name"),
    [("a@b", "a"), ("a/3", "a"), ("a", "a"), ("t/a/3", "t/a"), ("t/a", "t/a"), ("t/a@b", "t/a")],
)
def test_the_registered_name_of_a_model(model, name):
    assert registered_name(model) == name


def test_an_operator_with_a_table_of_his_own_is_limited(policy_of):
    free, bound = policy_of(), policy_of('[sources.cli]\nkind = "cli"\nmodels = ["digits@*"]')
    assert not free.limits(free.source("cli"))
    assert bound.limits(bound.source("cli"))
    assert bound.source("cli").models == ("digits@*",)
    assert bound.source("cli").datasets == ()

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lethe.deletion.policy.fields import (
    TicketFields,
    UnreadableTicketError,
    read_fields,
    read_ticket,
    to_request,
)
from lethe.deletion.policy.load import read_policy
from lethe.settings import Settings

CANARY = "Zo\u00eb Quixote-7731"
TICKET = {"model": "digits@champion", "dataset": "data/digits", "classes": ["3"]}
ROW = {"model": "digits@champion", "dataset": "data/digits"}
SOURCE = read_policy(
    {"version": "1", "sources": {"portal": {"kind": "plain"}}}, None, Settings()
).source("portal")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(CANARY),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
names = st.sampled_from(sorted({*TICKET, "subjects", "samples", "ground", "regulation", "x"}))


def problem_of(source, payload):
    with pytest.raises(UnreadableTicketError) as caught:
        read_fields(source, payload)
    assert caught.value.problem in str(caught.value)
    assert "\n" not in caught.value.problem
    return caught.value.problem


def test_fields_are_found_and_put_into_one_form():
    fields = read_fields(
        SOURCE,
        {
            "model": " digits ",
            "dataset": "./data//digits/",
            "classes": ["9", " 3 ", "9"],
            "samples": [17, "a-1", 4],
            "subjects": [],
            "regulation": "CCPA",
            "ground": "gdpr  art. 17(1)(B)",
        },
    )
    assert fields == TicketFields(
        model="digits@champion",
        dataset="data/digits",
        classes=("3", "9"),
        samples=("17", "4", "a-1"),
        regulation="ccpa",
        ground="GDPR Art. 17(1)(b)",
    )


def test_keys_about_something_else_are_passed_over(policy_of):
    more = {"note": CANARY, "requester": CANARY, "x" * 1000: 1}
    assert read_fields(SOURCE, TICKET | more) == read_fields(SOURCE, TICKET)
    hooks = policy_of('[sources.hooks]\nkind = "standard-webhooks"').source("hooks")
    assert read_fields(hooks, {"data": TICKET | more}).classes == ("3",)
    assert (
        problem_of(hooks, {"data": TICKET | {"sample": []}})
        == "a key is nearly samples, and is not"
    )
    own = policy_of(
        '[sources.own]\nkind = "plain"\n[sources.own.fields]\n'
        'model = "model"\ndataset = "dataset"\nsubjects = "[subject]"'
    ).source("own")
    assert read_fields(own, ROW | {"subject": "p-1"}).subjects == ("p-1",)


@pytest.mark.parametrize("given", ["digits@live", "digits/12", "team/digits@live"])
def test_a_model_with_alias_or_number_stays_as_it_is(given):
    assert read_fields(SOURCE, TICKET | {"model": given}).model == given


@pytest.mark.parametrize("given", ["digits", "team/digits"])
def test_a_model_alone_has_the_settings_alias(policy_of, given):
    source = policy_of(models={"alias": "live"}).source("portal")
    assert read_fields(source, TICKET | {"model": given}).model == f"{given}@live"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"model": None}, "model is missing"),
        ({"model": "  "}, "model is missing"),
        ({"model": ["digits"]}, "model is no text"),
        ({"model": 3}, "model is no text"),
        ({"model": "a b"}, "model is not NAME@ALIAS or NAME/NUMBER"),
        ({"model": "a@b@c"}, "model is not NAME@ALIAS or NAME/NUMBER"),
        ({"model": "@champion"}, "model is not NAME@ALIAS or NAME/NUMBER"),
        ({"model": "m" * 301}, "model is too long"),
        ({"dataset": None}, "dataset is missing"),
        ({"dataset": {}}, "dataset is no text"),
        ({"dataset": "/etc"}, "dataset is no path inside the repository"),
        ({"dataset": "data/../.."}, "dataset is no path inside the repository"),
        ({"dataset": "data\\digits"}, "dataset is no path inside the repository"),
        ({"dataset": "."}, "dataset is no path inside the repository"),
        ({"dataset": "data/\u0000"}, "dataset holds characters that cannot be kept"),
        ({"evaluation": "../x"}, "evaluation is no path inside the repository"),
        ({"classes": "3"}, "classes is not a list of texts"),
        ({"classes": {"3": True}}, "classes is not a list of texts"),
        ({"classes": [True]}, "classes is not a list of texts"),
        ({"classes": [1.5]}, "classes is not a list of texts"),
        ({"classes": [None]}, "classes is not a list of texts"),
        ({"classes": [["3"]]}, "classes is not a list of texts"),
        ({"classes": ["3", " "]}, "classes is not a list of texts"),
        ({"classes": [10**400]}, "classes is not a list of texts"),
        ({"classes": ["a\nb"]}, "classes holds characters that cannot be kept"),
        ({"classes": ["a\u2028b"]}, "classes holds characters that cannot be kept"),
        ({"classes": ["\ud800"]}, "classes holds characters that cannot be kept"),
        ({"classes": ["x" * 301]}, "classes is too long"),
        ({"samples": ["s"] * 100_001}, "samples names too many"),
        ({"classes": []}, "nothing is selected"),
        ({"classes": None}, "nothing is selected"),
        ({"regulation": "a rule"}, "regulation is none that the policy knows"),
        ({"ground": CANARY}, "ground is none that the policy lists"),
        ({"subject": ["p-1"]}, "a key is nearly subjects, and is not"),
        ({"Samples": ["s-1"]}, "a key is nearly samples, and is not"),
        ({"class": "3"}, "a key is nearly classes, and is not"),
        ({str(n): n for n in range(101)}, "it has too many keys"),
    ],
)
def test_what_is_wrong_is_told_by_the_name_of_the_field(change, problem):
    assert problem_of(SOURCE, TICKET | change) == problem


def test_an_expression_that_meets_the_wrong_type_names_the_field(policy_of):
    source = policy_of('[sources.hub]\nkind = "github"').source("hub")
    form = {"model": "digits", "data_set": "data/digits", "classes": {"repeated": True}}
    assert problem_of(source, {"form": form}) == "classes cannot be read"


@pytest.mark.parametrize("rev", ["--upload-pack=x", "a..b", "HEAD~1", "a b", "v1@{1}"])
def test_a_revision_of_a_ticket_is_a_plain_name(policy_of, rev):
    source = policy_of(
        '[sources.own]\nkind = "plain"\n[sources.own.fields]\n'
        'model = "model"\ndataset = "dataset"\nclasses = "classes"\nrev = "rev"'
    ).source("own")
    assert problem_of(source, TICKET | {"rev": rev}) == "rev is no git revision"
    assert read_fields(source, TICKET | {"rev": "v1.2/data"}).rev == "v1.2/data"


def test_repository_and_revision_are_not_the_tickets_choice(policy_of, now):
    policy = policy_of(
        '[sources.own]\nkind = "plain"\n[sources.own.fields]\n'
        'model = "model"\ndataset = "dataset"\nclasses = "classes"',
        data={"repository": "ours"},
    )
    source = policy.source("own")
    fields = read_fields(source, TICKET | {"rev": "evil", "repository": "evil", "source": "cli"})
    request = to_request(policy, source, fields, "PRIV-7", now)
    assert request.forget.repository == "ours"
    assert request.forget.rev == "HEAD"
    assert request.source == "own"
    assert not request.forget.whole


def test_a_request_has_what_the_ticket_says_and_else_what_the_source_says(policy_of, now):
    policy = policy_of(
        '[regulations.lgpd]\ndays = 15\n[sources.own]\nkind = "plain"\nmodels = ["digits@*"]\n'
        'datasets = ["data/*"]\nregulation = "lgpd"\nground = "contract 12"\nrev = "v3"'
    )
    source = policy.source("own")
    plain = to_request(policy, source, read_fields(source, TICKET), "PRIV-7", now)
    assert (plain.regulation, plain.ground, plain.forget.rev) == ("lgpd", "contract 12", "v3")
    assert (plain.ticket, plain.received_at, plain.evaluation) == ("PRIV-7", now, None)
    more = {"regulation": "gdpr", "ground": "gdpr art. 17", "evaluation": "data/shard"}
    said = to_request(policy, source, read_fields(source, TICKET | more), None, now)
    assert (said.regulation, said.ground) == ("gdpr", "GDPR Art. 17")
    assert said.evaluation == "data/shard"
    own = read_fields(source, TICKET | {"ground": "Contract 12"})
    assert own.ground == "contract 12"


def test_an_unknown_regulation_makes_a_ticket_unreadable(policy_of, now):
    policy = policy_of()
    source = policy.source("portal")
    fields = read_fields(source, TICKET | {"regulation": "lgpd"})
    with pytest.raises(UnreadableTicketError, match="regulation is none that the policy knows"):
        to_request(policy, source, fields, None, now)


def test_a_ticket_key_that_cannot_be_recorded_is_refused_without_it(policy_of, now):
    policy = policy_of()
    source = policy.source("portal")
    with pytest.raises(UnreadableTicketError) as caught:
        to_request(policy, source, read_fields(source, TICKET), CANARY, now)
    assert caught.value.problem == "ticket cannot be recorded"
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "change",
    [{"model": "anna@example.org"}, {"dataset": "people/anna"}, {"evaluation": "people/anna"}],
)
def test_a_name_that_the_source_may_not_give_is_not_kept(policy_of, now, change):
    policy = policy_of()
    source = policy.source("portal")
    request = to_request(policy, source, read_fields(source, TICKET | change), None, now)
    assert "anna" not in request.model_dump_json()


def test_nothing_of_a_ticket_is_in_a_repr():
    fields = read_fields(SOURCE, ROW | {"classes": [CANARY], "subjects": [CANARY]})
    assert CANARY not in repr(fields)
    assert "digits" not in repr(fields)


def test_the_key_of_a_ticket_is_mapped_for_standard_webhooks(policy_of):
    policy = policy_of('[sources.own]\nkind = "standard-webhooks"')
    source = policy.source("own")
    assert read_ticket(source, {"data": {"ticket": "PRIV-7"}}) == "PRIV-7"
    assert read_ticket(source, {"data": {}}) is None
    with pytest.raises(UnreadableTicketError, match="ticket is no text"):
        read_ticket(source, {"data": {"ticket": 7}})
    assert read_ticket(policy.source("portal"), {"ticket": "PRIV-7"}) is None


@given(st.dictionaries(names, json_values, max_size=8))
def test_whatever_a_ticket_holds_it_is_read_or_refused_by_name(change):
    try:
        fields = read_fields(SOURCE, TICKET | change)
    except UnreadableTicketError as caught:
        error = caught
    else:
        chosen = (fields.classes, fields.subjects, fields.samples)
        assert any(chosen)
        assert all(isinstance(one, str) and one for ids in chosen for one in ids or ())
        assert "@" in fields.model or "/" in fields.model
        return
    seen = error
    while seen is not None:
        assert CANARY not in str(seen)
        seen = seen.__context__
    assert error.problem.split(" ", 1)[0] in {*TICKET, *change, "nothing", "a"}

"""The certificate says what the statement says about one request, and nothing else."""

import re
from datetime import timedelta
from html.parser import HTMLParser
from itertools import pairwise
from typing import get_args

import audit_statements as builders
import pytest

from lethe.audit.certificate import LISTED_LIMITS, render_certificate
from lethe.audit.certificate_words import certificate_words
from lethe.audit.errors import AuditError
from lethe.audit.predicate import VerdictName
from lethe.audit.statement import Statement, digest

NOON, REQUEST, REFUSAL = builders.NOON, builders.REQUEST, builders.REFUSAL
KEY, COMMAND = "9f" * 16, "lethe audit verify statement.json"
VOID = {"meta", "path"}
HIDDEN = {"style", "title"}


def gate(name, *, measured=0.01, passed=True, threshold=0.05, comparison="<="):
    words = f"Gate {name} says: 12.3 % of 1,234,567 retained held-out rows are lost. " * 2
    return {
        "name": name,
        "measured": measured,
        "threshold": threshold,
        "comparison": comparison,
        "passed": passed,
        "words": words.strip(),
    }


GATES = (
    gate("forget_accuracy_train", measured=0.0123),
    gate("forget_accuracy_held_out", measured=None, passed=None),
    gate("forgotten_classes_answered", measured=0.0002),
    gate("remembered", measured=-0.254, threshold=0.5),
    gate("overshoot", measured=0.254, threshold=0.5),
    gate("retained_loss", measured=-0.004, threshold=0.02),
    gate("class_loss", measured=0.087, threshold=0.06, passed=False),
    gate("agreement", measured=0.991, threshold=0.95, comparison=">="),
    gate("finite_outputs", measured=0.0, threshold=0.0),
    gate("relapse", measured=0.3, passed=None),
    gate("own_rows", measured=1.5),
)


def asked(name, **changes):
    return REQUEST | {
        "id": f"req-{name}",
        "ticket": f"{name.upper()}-99",
        "source": f"source-{name}",
        "ground": f"ground {name}",
        "approved_by": (f"actor-{name}",),
        "due_at": NOON + timedelta(days=30),
        **changes,
    }


def class_request():
    """The shortest: one request for one class."""
    return builders.statement(figures={"before.forget_train": 0.985}), "req-1"


def subject_request():
    """The longest that is likely: many requests, all gates, long names and sentences."""
    requests = tuple(
        asked(name, kind="subject", rows=rows, recognised=share)
        for name, rows, share in (("one", 4321, 0.25), ("two", 8765, 0.125), ("three", 7, 0.5))
    )
    data = builders.content()["data"] | {
        "kind": "subject",
        "classes": (),
        "path": "data/" + "long-name-of-a-folder/" * 15,
    }
    limits = [f"Limit {place}: these rows {'were not measured, ' * 4}" for place in range(9)]
    made = builders.statement(
        requests=requests, data=data, gates=GATES, not_covered=tuple(map(str.strip, limits))
    )
    return made, "req-one"


def refusal():
    """A refusal of one request for a class."""
    return builders.statement(**REFUSAL, gates=GATES, reason="1 of 11 gates failed."), "req-1"


def render(made, request_id, **changes):
    named = {"sequence": 1207, "key_id": KEY, "verify_command": COMMAND} | changes
    return render_certificate(made, request_id, digest=digest(made), **named)


class Page(HTMLParser):
    """Elements in order, the text that is to be seen, and whether everything is closed."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.open, self.seen = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not HIDDEN & set(self.open):
            self.seen.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.seen))


CASES = [class_request, subject_request, refusal]


@pytest.mark.parametrize("case", CASES)
def test_every_fact_of_the_request_is_on_the_page(case):
    made, request_id = case()
    p, text = made.predicate, Page(render(made, request_id, controller="Data Office")).text
    own = next(one for one in p.requests if one.id == request_id)
    for fact in (own.id, own.ticket, own.source, own.ground, own.regulation, *own.approved_by):
        assert fact in text
    assert "21 November 2026, 12:00 UTC" in text
    if own.due_at:
        assert "21 December 2026, 12:00 UTC" in text
    assert f"{own.rows:,} rows" in text
    assert f"{100 * own.recognised:.1f} %" in text
    for version in filter(None, (p.parent, p.successor)):
        assert version.uri in text
        assert version.weights_sha256 in text
    hashes = (digest(made), p.data.dvc_md5, p.data.git_rev, p.run_id, p.verdict, KEY)
    for fact in (*hashes, COMMAND, "Data Office", "In the recordnumber 1,207"):
        assert fact in text
    for one in p.gates:
        assert one.words[:200].replace(" %", "\N{NO-BREAK SPACE}%")[:200] in "".join(
            Page(render(made, request_id)).seen
        )
    for words in p.not_covered:
        assert words in text


def test_gates_are_told_in_figures_and_words():
    text = Page(render(*refusal())).text
    for row in (
        "1.2 %≤ 5.0 %✓ passed",
        "-≤ 5.0 %- not measured",
        "below 0.1 %≤ 5.0 %✓ passed",
        "-0.25≤ 0.50✓ passed",
        "0.25≤ 0.50✓ passed",
        "-0.4 points≤ 2.0 points✓ passed",
        "8.7 points≤ 6.0 points✗ failed",
        "99.1 %≥ 95.0 %✓ passed",
        "0 rows≤ 0 rows✓ passed",
        "30.0 points≤ 5.0 points- not judged",
        "1.5≤ 0.05✓ passed",
    ):
        assert row in text.replace("\N{EN DASH}", "-").replace("\N{MINUS SIGN}", "-")
    assert "Own rows" in text  # a gate that this page knows no title for


def test_of_the_other_requests_only_their_number_is_told():
    made, request_id = subject_request()
    html = render(made, request_id)
    assert "2 other requests, in one edit" in html
    for name, rows, share in (("two", "8,765", "12.5"), ("three", "7 rows", "50.0")):
        for trace in (f"req-{name}", f"{name.upper()}-99", f"-{name}", f"ground {name}", rows):
            assert trace not in html
        assert f"{share}\N{NO-BREAK SPACE}%" not in html


def test_classes_are_named_for_a_lone_request_only():
    assert "class “3”, 137 rows" in Page(render(*class_request())).text
    data = builders.content()["data"] | {"classes": ("mine", "theirs")}
    made = builders.statement(
        requests=(asked("one"), asked("two")), data=data, figures={"before.forget_train": 0.985}
    )
    html = render(made, "req-one")
    assert "the classes that the request names" in html
    assert "theirs" not in html
    assert "98.5" not in html  # the share of both requests' rows, not of this one's


def test_what_was_recognised_before_and_after_is_told():
    text = Page(render(*class_request())).text
    assert "98.5 % of its rows before, 0.0 % now" in text
    unknown = builders.statement(requests=(REQUEST | {"recognised": None, "rows": None},))
    assert "not measured for its rows alone" in Page(render(unknown, "req-1")).text


def test_many_and_long_names_are_cut():
    data = builders.content()["data"] | {"classes": tuple(f"{n}{'x' * 150}" for n in range(60))}
    text = Page(render(builders.statement(data=data), "req-1")).text
    assert "and 50 more" in text
    assert "x" * 30 not in text
    limits = tuple(f"Limit number {n}." for n in range(LISTED_LIMITS + 3))
    text = Page(render(builders.statement(not_covered=limits), "req-1")).text
    assert "3 more limits are in the statement" in text


def of_verdict(verdict, **changes):
    given = REFUSAL if verdict == "refused" else {"verdict": verdict}
    return builders.statement(**given | changes)


@pytest.mark.parametrize("verdict", get_args(VerdictName))
def test_every_verdict_has_words_of_its_own(verdict):
    made = of_verdict(verdict)
    text = Page(render(made, "req-1")).text
    assert f"Verdict: {verdict}." in text
    own = certificate_words(made.predicate)
    assert all(words in text for words in own)
    for other in set(get_args(VerdictName)) - {verdict}:
        assert not set(own) & set(certificate_words(of_verdict(other).predicate))


INSIDE = {"features.relearn.original": 0.9, "features.relearn.successor": 0.8}


def test_suppressed_says_whether_inner_layers_were_measured():
    unmeasured, unclear, remembers = (
        Page(render(of_verdict("suppressed", rule=rule, figures=figures), "req-1")).text
        for rule, figures in (
            ("output_level_passed", {"before.forget_train": 0.9}),
            ("feature_level_unclear", INSIDE),
            ("feature_level_remembers", INSIDE),
        )
    )
    assert "they were not measured" in unmeasured
    for measured in (unclear, remembers):
        assert "not measured. This" not in measured
        assert "not the same as erasure" in measured
    assert "they were measured, but that could not tell" in unclear
    assert "but its inner layers still hold it" in remembers
    assert "may still hold" not in remembers


def test_people_and_rows_are_not_said_to_be_answered_no_longer():
    made, request_id = subject_request()
    text = Page(render(made, request_id)).text
    assert "more like data it never saw" in text
    assert "no longer answers with" not in text


def test_suppressed_is_never_called_erased():
    text = Page(render(*class_request())).text
    assert "inner layers of the model may still hold" in text
    assert "its inner layers may still hold it" in text
    assert "not the same as erasure" in text
    assert "erased" not in text
    assert "is the one in use: that is decided apart" in text


def test_a_refusal_claims_nothing_was_forgotten():
    text = Page(render(*refusal())).text
    assert "What was to be forgotten" in text
    assert "none was registered" in text
    assert "still remembers" in text
    assert "models:/digits/2" not in text


def test_without_key_and_number_nothing_is_said_to_be_signed():
    text = Page(render(*class_request(), key_id=None, sequence=None)).text
    assert "the statement is not signed" in text
    assert "its signature" not in text
    assert "In the record" not in text
    assert "its signature" in Page(render(*class_request())).text


def test_another_request_gets_no_certificate():
    made, _ = class_request()
    with pytest.raises(AuditError, match=r"'req-2'.*No certificate was written.*lethe requests"):
        render(made, "req-2")


def test_markup_in_what_others_wrote_is_text():
    evil = '<script>alert(1)</script>"><img src=x>'
    data = builders.content()["data"] | {"classes": (evil[:25],), "path": evil}
    made = builders.statement(
        data=data,
        not_covered=(evil,),
        gates=(gate("agreement") | {"words": evil},),
        requests=(REQUEST | {"ground": evil},),
    )
    page = Page(render(made, "req-1", controller=evil, verify_command=evil))
    assert {"script", "img"}.isdisjoint(tag for tag, _ in page.elements)
    assert page.text.count(evil) == 6


@pytest.mark.parametrize("case", CASES)
def test_the_page_runs_no_script_and_asks_nobody(case):
    html = render(*case())
    page = Page(html)
    tags = {tag for tag, _ in page.elements}
    assert tags.isdisjoint({"script", "link", "img", "iframe", "object", "a", "form", "base"})
    names = {name for _, attrs in page.elements for name in attrs}
    assert names.isdisjoint({"src", "href", "xlink:href", "style"})
    assert not [name for name in names if name.startswith("on")]
    assert not re.search(r"https?:|//|url\(|@import", html.replace("<!doctype", ""))
    policy = [a["content"] for _, a in page.elements if "http-equiv" in a]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


@pytest.mark.parametrize("case", CASES)
def test_a_screen_reader_finds_its_way(case):
    page = Page(render(*case()))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all("scope" in attrs for tag, attrs in page.elements if tag == "th")
    assert ("html", {"lang": "en"}) in page.elements
    tags = [tag for tag, _ in page.elements]
    assert {"title", "main", "header", "footer", "caption"} <= set(tags)
    code = next(attrs for tag, attrs in page.elements if attrs.get("role") == "img")
    assert code["aria-label"]


def test_the_code_is_that_of_this_statement_and_request():
    made, _ = subject_request()
    short = digest(made)[:16]
    pages = [Page(render(made, name)) for name in ("req-one", "req-two")]
    grouped = " ".join(short[place : place + 4] for place in range(0, 16, 4))
    assert all(grouped in page.text for page in pages)
    drawn = [[a["d"] for tag, a in page.elements if tag == "path"] for page in pages]
    assert drawn[0] != drawn[1]


def test_the_statement_as_read_back_gives_the_same_page():
    made, request_id = subject_request()
    again = Statement.model_validate_json(made.model_dump_json(by_alias=True))
    assert render(again, request_id) == render(made, request_id)

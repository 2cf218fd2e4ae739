import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from urllib.parse import urljoin

import pytest
from audit_statements import REQUEST, statement
from intake_client import TOKENS

from lethe.audit.certified import MOST
from lethe.audit.dsse import IN_TOTO, Envelope
from lethe.audit.statement import canonical_bytes
from lethe.data.forget_spec import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.intake.errors import ProblemError
from lethe.deletion.intake.page_render import render
from lethe.deletion.intake.view import detail
from lethe.deletion.intake.wording import GROUPS, STATES
from lethe.deletion.ledger.errors import LedgerUnavailableError
from lethe.deletion.ledger.statements import Kept
from lethe.deletion.ledger.types import Arrival, ArrivalKind, Entry, Facts, Judgement, Letter, Move
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import State

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
EVIL = "<script>alert('x')</script><b a=\"1\">&amp;"


@pytest.fixture
def browser(client):
    """A client that shows a token which reads all sources."""
    client.auth = ("anybody", TOKENS["clerk"])
    return client


@pytest.fixture
def filed(ledger):
    """Files requests with values of their own, in the state they are judged to have."""

    def file(n=1, *, state=State.APPROVED, due=NOW + 20 * DAY, source="issues", **fields):
        values = {
            "classes": (f"canary-class-{n}",),
            "subjects": (f"canary-person-{n}",),
            "samples": (f"canary-row-{n}",),
        }
        request = DeletionRequest(
            id=f"req-{n:012x}",
            model=fields.pop("model", "digits@champion"),
            forget=ForgetSpec(dataset="data/digits", selection=Selection(**values)),
            source=source,
            ticket=fields.pop("ticket", f"example/privacy#{n}"),
        )
        judgement = Judgement(state, fields.pop("reason", "because"), due_at=due)
        return ledger.file(request, judgement, actor="intake:test", reply={"to": "canary-reply"})

    return file


class _Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def all(self, *tags):
        return [attributes for tag, attributes in self.tags if tag in tags]


def shown(answer):
    """Ids of the requests in the tables of a page, in their order."""
    links = (a.get("href", "") for a in _Page(answer.text).all("a"))
    return [link.rpartition("/")[2] for link in links if "requests/req-" in link]


def test_an_empty_ledger_says_what_to_do_next(browser):
    answer = browser.get("/")
    assert answer.status_code == 200
    assert "No request has been filed yet" in answer.text
    assert "lethe requests submit" in answer.text


def test_what_needs_a_person_comes_first_and_the_most_urgent_at_the_top(browser, filed):
    waits = filed(1, due=NOW + 9 * DAY)
    calm = filed(2, state=State.AWAITING_APPROVAL, due=NOW + 30 * DAY)
    late = filed(3, state=State.AWAITING_APPROVAL, due=NOW - DAY)
    ended = filed(4, state=State.REJECTED)
    answer = browser.get("/")
    assert shown(answer) == [late.id, calm.id, waits.id, ended.id]
    assert "1 request is past the deadline" in answer.text
    assert "Overdue by 1 day" in answer.text


def test_the_nearest_deadlines_are_shown_whenever_they_were_filed(browser, filed):
    for n in range(70):
        filed(n, due=NOW + (40 + n) * DAY)
    late = filed(99, due=NOW + DAY)
    assert shown(browser.get("/"))[0] == late.id


def test_a_list_is_paged_through_completely(browser, filed):
    ids = [filed(n).id for n in range(120)]
    found, link = [], "./?state=approved"
    while link:
        answer = browser.get(urljoin("/", link))
        found.append(shown(answer))
        links = _Page(answer.text).all("a")
        link = next((a["href"] for a in links if "after=" in a.get("href", "")), None)
    assert [len(page) for page in found] == [50, 50, 20]
    assert [one for page in found for one in page] == ids[::-1]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("state=held", {3}),
        ("state=needs-a-person", {2, 3}),
        ("state=overdue", {2}),
        ("state=&model=&source=shop", {4}),
        ("model=digits", {1, 2, 4}),
        ("model=digits@champion", {1, 2, 4}),
        ("model=+watch@champion+", {3}),
        ("model=digits&source=issues", {1, 2}),
        ("model=none", set()),
        ("model=no+model+at@all@", set()),
        ("model=%00", set()),
        ("source=%27%22", set()),
    ],
)
def test_a_filter_finds_what_it_says(browser, filed, query, expected):
    filed(1)
    filed(2, state=State.AWAITING_APPROVAL, due=NOW - DAY)
    filed(3, state=State.HELD, model="watch@champion")
    filed(4, source="shop")
    answer = browser.get(f"/?{query}")
    assert answer.status_code == 200
    assert {int(one.removeprefix("req-"), 16) for one in shown(answer)} == expected
    assert expected or "No request matches" in answer.text


@pytest.mark.parametrize("query", ["state=lost", "after=%27", "state=" + "x" * 99])
def test_a_filter_that_there_is_not_is_a_page_too(browser, query):
    answer = browser.get(f"/?{query}")
    assert answer.status_code == 422
    assert "<h1>No such filter</h1>" in answer.text


@pytest.mark.parametrize("path", ["/requests/req-0", "/requests/%3Cb%3E", "/?after=req-0"])
def test_what_is_not_there_is_a_page_in_the_same_dress(browser, path):
    answer = browser.get(path)
    assert answer.status_code == 404
    assert "<h1>Not found</h1>" in answer.text
    assert "static/page.css" in answer.text
    assert "req-0" not in answer.text
    assert "<b>" not in answer.text


@pytest.mark.parametrize("path", ["/", "/requests/req-000000000001"])
@pytest.mark.parametrize("auth", [None, ("anybody", "wrong"), ("anybody", "")])
def test_without_a_good_token_nothing_is_shown(client, filed, path, auth):
    filed()
    answer = client.get(path, auth=auth)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert "<h1>Not signed in</h1>" in answer.text
    assert "req-" not in answer.text


def test_a_token_that_may_not_read_is_told_so(ledger, settings):
    from fastapi import FastAPI
    from starlette.testclient import TestClient

    from lethe.deletion.intake.page import page_router

    def authorize():
        raise ProblemError(403, "forbidden", "no")

    app = FastAPI()
    app.include_router(page_router(ledger, lambda: None, settings, authorize))
    answer = TestClient(app).get("/")
    assert answer.status_code == 403
    assert "<h1>Not allowed</h1>" in answer.text


def test_a_reader_of_one_source_learns_nothing_of_the_others(client, ledger, filed):
    client.auth = ("anybody", TOKENS["shop"])
    filed(1, due=NOW - DAY)
    mine = filed(2, source="shop")
    ledger.accept([Arrival("issues", "d-1", ArrivalKind.UNREADABLE, problem="a secret field")])
    _give_up(ledger, "req-000000000001", "the error of another")
    answer = client.get("/")
    assert shown(answer) == [mine.id]
    for hidden in ("req-000000000001", "past the deadline", "secret field", "of another"):
        assert hidden not in answer.text
    assert 'class="cards"' not in answer.text
    assert client.get("/requests/req-000000000001").status_code == 404
    assert client.get("/?after=req-000000000001").status_code == 404
    assert shown(client.get("/?source=issues")) == []
    assert client.get(f"/requests/{mine.id}").status_code == 200


def test_nothing_of_a_selection_or_a_reply_is_in_any_page(browser, ledger, filed):
    one = filed(1)
    again = ledger.file(
        one.request.model_copy(update={"id": "req-again"}), Judgement(State.APPROVED, ""), actor="x"
    )
    for path in ("/", "/?state=waiting", f"/requests/{one.id}", f"/requests/{again.id}"):
        answer = browser.get(path)
        assert answer.status_code == 200
        assert "canary" not in answer.text


def test_markup_in_tickets_and_reasons_is_text(browser, ledger, filed):
    entry = filed(1, reason=EVIL)
    ledger.note(entry.id, EVIL, actor="dpo")
    ledger.accept([Arrival("issues", "d-1", ArrivalKind.UNREADABLE, ticket=EVIL, problem=EVIL)])
    _give_up(ledger, entry.id, EVIL)
    for path in ("/", f"/requests/{entry.id}", "/?model=%22%3E%3Cscript%3E"):
        text = browser.get(path).text
        assert "<script" not in text
        assert "<b a" not in text
        assert "&lt;script&gt;" in text


def test_unreadable_tickets_and_letters_given_up_are_listed(browser, ledger, filed):
    entry = filed()
    ledger.accept(
        [Arrival("issues", "d-1", ArrivalKind.UNREADABLE, ticket="a/b#7", problem="no model")]
    )
    _give_up(ledger, entry.id, "404 from the tracker")
    text = browser.get("/").text
    for words in ("could not be read", "a/b#7", "no model", "did not arrive", "404 from the"):
        assert words in text


def test_a_duplicate_and_what_it_repeats_lead_to_each_other(browser, ledger, filed):
    one = filed(1)
    again = one.request.model_copy(update={"id": "req-again", "ticket": "a/b#2"})
    ledger.file(again, Judgement(State.APPROVED, ""), actor="cli")
    links = [a.get("href") for a in _Page(browser.get("/requests/req-again").text).all("a")]
    assert one.id in links
    links = [a.get("href") for a in _Page(browser.get(f"/requests/{one.id}").text).all("a")]
    assert "req-again" in links


@pytest.fixture
def mlflow_server(monkeypatch):
    monkeypatch.setenv("LETHE_MLFLOW__TRACKING_URI", "https://mlflow.example.org")


def _certificates(browser, entry):
    links = [a.get("href", "") for a in _Page(browser.get(f"/requests/{entry.id}").text).all("a")]
    return [link for link in links if "certificates" in link]


def test_the_certificate_is_linked_where_the_record_has_one(mlflow_server, browser, ledger, filed):
    entries = [filed(n) for n in range(MOST + 1)]
    last, covered = entries[-1], filed(99)
    requests = tuple(REQUEST | {"id": entry.id} for entry in entries)
    made = statement(requests=requests, run_id="run-1")
    line = Envelope(canonical_bytes(made), IN_TOTO, (("8" * 64, b"s" * 64),)).line()
    kept = Kept(1, "f" * 64, "run-1", "8" * 64, NOW, line, "[]")
    ledger.statements.append("work", lambda _: kept)
    facts = Facts(verdict="suppressed", run_id="run-1", statement=kept.digest)
    for entry in (entries[0], last, covered):
        assert _certificates(browser, entry) == []
        ledger.set_facts(entry.id, facts)
    path = f"certificates%2F{entries[0].id}.html"
    assert _certificates(browser, entries[0]) == [
        f"https://mlflow.example.org/get-artifact?path={path}&run_uuid=run-1"
    ]
    # Of a record of many the first ones alone have a page; none has who is covered by it.
    assert _certificates(browser, last) == []
    assert _certificates(browser, covered) == []


def test_without_a_record_of_this_version_no_certificate_is_offered(
    mlflow_server, browser, ledger, filed
):
    entry = filed(1)
    kept = Kept(1, "f" * 64, "run-1", "8" * 64, NOW, b"{}", "[]")
    ledger.statements.append("work", lambda _: kept)
    for digest in (kept.digest, "0" * 64):
        ledger.set_facts(entry.id, Facts(verdict="suppressed", run_id="run-1", statement=digest))
        answer = browser.get(f"/requests/{entry.id}")
        assert (answer.status_code, "certificates" in answer.text) == (200, False)


@pytest.mark.parametrize("state", sorted(State))
def test_every_state_renders(state):
    request = DeletionRequest(
        id="req-1", model="digits@champion", forget=ForgetSpec(dataset="data/x", whole=True)
    )
    facts = Facts(3, 0.1, 1, "digits/3", "digits/4", "suppressed", "run", "f" * 64, 0.25)
    entry = Entry(
        request,
        state,
        "why",
        NOW,
        due_at=NOW,
        extended=True,
        held_from=State.APPROVED,
        approvals=("dpo",),
        duplicate_of="req-0",
        batch_id="batch-1",
        facts=facts,
        history=(Move(NOW, "cli", None, State.RECEIVED), Move(NOW, "cli", state, state, "a note")),
    )
    uri = "https://mlflow.example.org"
    it = detail(
        entry, NOW, tracking_uri=uri, approvers=(), original=None, duplicates=[entry], together=2
    )
    text = render("request.html", base="../", now=NOW, it=it).body.decode()
    _check(text)
    for words in (STATES[state].title, "extended", "25 %", "digits/4</a>", "SHA-256", "2 other"):
        assert words in text


def test_pages_need_no_script_no_inline_style_and_nobody_else(browser, filed):
    entry = filed(1)
    for path in ("/", "/?state=approved", f"/requests/{entry.id}", "/requests/none"):
        answer = browser.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["Cache-Control"] == "no-store"
        _check(answer.text)


def test_the_style_sheet_is_served_to_everybody_and_nothing_else_is(client):
    for name, kind in (("page.css", "text/css; charset=utf-8"), ("mark.svg", "image/svg+xml")):
        answer = client.get(f"/static/{name}")
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, kind)
        assert "max-age" in answer.headers["Cache-Control"]
        assert (
            "http"
            not in answer.text.replace("http://www.w3.org/2000/svg", "").partition("@media print")[
                0
            ]
        )
    for name in ("page.py", "..%2fpage.py", "x"):
        assert client.get(f"/static/{name}").status_code == 404


def test_a_ledger_that_is_away_is_a_page_that_says_so(browser, ledger, monkeypatch):
    def away(*_, **__):
        message = "gone"
        raise LedgerUnavailableError(message)

    monkeypatch.setattr(type(ledger), "counts", away)
    answer = browser.get("/")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert "Nothing is lost" in answer.text


def test_the_pages_are_no_part_of_the_api(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert not {"/", "/requests/{request_id}", "/static/{name}"} & set(paths)


def test_the_filter_offers_every_state_and_group(browser, filed):
    filed()
    values = [option["value"] for option in _Page(browser.get("/").text).all("option")]
    assert {*State, *(group.key for group in GROUPS), "overdue", "", "cli", "shop"} <= set(values)


def _give_up(ledger, request_id, error):
    ledger.enqueue([Letter("github", f"github:{request_id}", {"to": "canary"}, request_id)])
    (letter,) = ledger.letters_due("test", lease=DAY, limit=1)
    ledger.not_sent(letter, error, None)


def _check(text):
    """What holds for every page."""
    page = _Page(text)
    assert text.startswith("<!doctype html>")
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("title")) == 1
    assert not page.all("script", "style", "iframe")
    assert not [a for _, a in page.tags if "style" in a or any(n.startswith("on") for n in a)]
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["for"] for a in page.all("label")} == {a["id"] for a in page.all("select", "input")}
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(a.get("scope") in {"row", "col"} for a in page.all("th"))
    own = [a.get("href") or a.get("src") or a.get("action") for _, a in page.tags]
    foreign = [link for link in own if link and re.match(r"/|[a-z]+:", link)]
    assert all(link.startswith("https://mlflow.example.org/") for link in foreign)

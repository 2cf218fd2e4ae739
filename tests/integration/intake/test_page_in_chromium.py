"""The pages as a browser shows them: the whole service, a real ledger, the system's Chromium."""

import importlib.util
import re
import socket
import sys
import threading
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from lethe.data.forget_spec import ForgetSpec
from lethe.deletion.intake.app import create_app
from lethe.deletion.ledger.types import Judgement
from lethe.deletion.policy.model import Policy
from lethe.deletion.request import DeletionRequest
from lethe.deletion.states import State
from lethe.settings import Settings

playwright_api = pytest.importorskip("playwright.sync_api")
ROOT = Path(__file__).parents[3]
TOKEN = "a-token-for-the-pages-of-32-characters"  # noqa: S105
PHONES = [(320, 640), (390, 844)]
CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")


def _load_samples():
    spec = importlib.util.spec_from_file_location("docs_screenshots", ROOT / "docs/screenshots.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


samples = _load_samples()
pytestmark = pytest.mark.skipif(
    samples.chromium() is None, reason="there is no Chromium on this machine"
)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    with samples.sample_ledger(folder, datetime.now(UTC)) as (ledger, _):
        long = DeletionRequest(
            id="r" * 64,
            model=f"{'m' * 280}@champion",
            forget=ForgetSpec(dataset="data/" + "d" * 200, whole=True),
            ticket="T" * 200,
            source="s" * 40,
        )
        ledger.file(long, Judgement(State.HELD, "w" * 200), actor="a" * 100)
        yield ledger


@pytest.fixture(scope="module")
def address(ledger, tmp_path_factory):
    """The whole service on a free port."""
    import uvicorn

    settings = Settings(
        home=tmp_path_factory.mktemp("home"), mlflow={"tracking_uri": "https://mlflow.example.org"}
    )
    app = create_app(ledger, Policy.model_validate(samples.POLICY), settings)
    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.1", 0)) as listener:
        patch.setenv("PAGE_TOKEN", TOKEN)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def chromium():
    with (
        playwright_api.sync_playwright() as playwright,
        playwright.chromium.launch(
            executable_path=samples.chromium(), args=list(samples.CHROMIUM)
        ) as browser,
    ):
        yield browser


@pytest.fixture
def open_page(chromium, address):
    """Opens a page as a reader; fails if it complains, breaks its policy or asks anybody else."""
    contexts, complaints, hosts = [], [], set()

    def run(path="/", *, size=(1280, 900), **options):
        context = chromium.new_context(
            viewport=dict(zip(("width", "height"), size, strict=True)),
            http_credentials={"username": "anybody", "password": TOKEN},
            **options,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: hosts.add("/".join(request.url.split("/")[:3])))
        page.goto(address + path)
        return page

    yield run
    for context in contexts:
        context.close()
    assert complaints == []
    assert hosts == {address}


@pytest.fixture(scope="module")
def paths(ledger):
    """One page of every kind, and one request in every state that lasts."""
    ids = [ledger.find(states={s}, limit=1)[0].id for s in State if s is not State.RECEIVED]
    ids = ["r" * 64, *ids]
    return ["/", "/?state=waiting", "/?model=none", *(f"/requests/{one}" for one in ids)]


def test_the_keyboard_alone_reaches_the_skip_link_the_filter_and_a_request(open_page):
    page = open_page()
    page.keyboard.press("Tab")
    assert _focused(page)["text"] == "Skip to content"
    reached = [_focused(page)]
    while "req-" not in reached[-1]["text"]:
        assert len(reached) < 60
        page.keyboard.press("Tab")
        reached.append(_focused(page))
    order = [one["id"] for one in reached if one["id"]]
    assert order == ["state", "model", "source"]
    assert reached[-2]["text"] == "Show"
    for one in reached:
        assert one["outline"] >= 2, one
        assert one["inside"], one
    page.keyboard.press("Enter")
    page.wait_for_url("**/requests/req-*")
    assert page.locator("h1").inner_text().endswith(reached[-1]["text"])


def test_the_skip_link_skips(open_page):
    page = open_page()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert _focused(page)["text"] == "Show what is overdue"


def test_the_filter_works_by_keyboard(open_page):
    page = open_page()
    page.get_by_label("State").focus()
    page.keyboard.type("Held")
    page.get_by_label("Model").focus()
    page.keyboard.type("watch")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?state=held&model=watch&source=")
    assert page.get_by_role("row").count() == 2
    assert page.get_by_label("Model").input_value() == "watch"
    page.get_by_role("link", name="Clear the filter").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Deletion requests"


def test_pages_work_without_scripts(open_page):
    page = open_page(java_script_enabled=False)
    page.get_by_label("Source").select_option("cli")
    page.get_by_role("button", name="Show").click()
    assert page.locator("td", has_text="from privacy-issues").count() == 0
    page.locator("tbody a").first.click()
    assert page.locator("h2", has_text="History").count() == 1


@pytest.mark.parametrize("size", [(1280, 900), *PHONES])
def test_a_screen_reader_finds_landmarks_names_and_tables(open_page, size):
    page = open_page(size=size)
    for role in ("banner", "main", "contentinfo"):
        assert page.get_by_role(role).count() == 1
    search = page.get_by_role("search", name="Filter requests")
    for role, name in (
        ("combobox", "State"),
        ("textbox", "Model"),
        ("combobox", "Source"),
        ("button", "Show"),
    ):
        assert search.get_by_role(role, name=name, exact=True).count() == 1
    assert "digits@champion" in page.get_by_label("Model").evaluate(
        "field => document.getElementById(field.getAttribute('aria-describedby')).textContent"
    )
    table = page.get_by_role("table", name="Nothing happens to these until somebody decides.")
    headers = [text.strip() for text in table.get_by_role("columnheader").all_inner_texts()]
    assert headers == ["Request", "State", "Time left", "Model", "Ticket", "Received"]
    row = table.get_by_role("row").nth(1)
    assert row.get_by_role("rowheader").count() == 1
    assert row.get_by_role("cell").count() == 5


def test_headings_descend_without_gaps(open_page, address, paths):
    page = open_page()
    for path in paths:
        page.goto(address + path)
        levels = page.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(h => +h.tagName[1])")
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels)), path
        assert page.title().endswith("· Lethe")


def test_a_history_is_a_list_of_times(open_page, ledger):
    (done, *_) = ledger.find(states={State.COMPLETED}, limit=1)
    page = open_page(f"/requests/{done.id}")
    lines = page.get_by_role("list").filter(has_text="Filed").get_by_role("listitem")
    assert lines.count() == len(ledger.get(done.id).history)
    assert "UTC" in lines.first.inner_text()
    times = page.eval_on_selector_all("time", "all => all.map(t => t.dateTime)")
    assert all(datetime.fromisoformat(one).tzinfo == UTC for one in times)


@pytest.mark.parametrize("size", [*PHONES, (768, 1024), (1100, 800)])
def test_nothing_scrolls_sideways_however_long_a_name_is(open_page, address, paths, size):
    page = open_page(size=size)
    for path in paths:
        page.goto(address + path)
        wide = page.evaluate(
            """() => [...document.querySelectorAll("main *, header *, footer *")]
            .filter(e => e.getBoundingClientRect().right > innerWidth + 0.5
                && getComputedStyle(e).clipPath === "none" && !e.closest("thead"))
            .map(e => e.outerHTML.slice(0, 80))"""
        )
        assert wide == [], path
        assert page.evaluate("document.documentElement.scrollWidth") == size[0], path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_controls_stand_out(open_page, address, paths, scheme):
    page = open_page(color_scheme=scheme)
    seen = set()
    for path in paths:
        page.goto(address + path)
        for found in page.evaluate(CONTRAST):
            seen.add(found["ink"])
            assert found["ratio"] >= found["needed"], (path, found)
    assert len(seen) > 5


def test_the_measure_of_contrast_notices_what_is_faint(chromium):
    page = chromium.new_page()
    page.set_content(
        '<main><a href="#">a</a><p style="color: #999">faint</p><input style="border-color: #ddd">'
    )
    found = [one for one in page.evaluate(CONTRAST) if one["ratio"] < one["needed"]]
    page.close()
    assert {"faint", ""} <= {one["what"] for one in found}


def test_dark_is_dark_and_light_is_light(open_page):
    brightness = {}
    for scheme in ("light", "dark"):
        page = open_page(color_scheme=scheme)
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness[scheme] = sum(map(int, re.findall(r"\d+", colour)))
    assert brightness["dark"] < 150
    assert brightness["light"] > 600


def test_overdue_is_told_by_words_and_not_by_colour_alone(open_page):
    page = open_page()
    marks = page.locator(".late").all_inner_texts()
    assert marks
    assert all("Overdue by" in text for text in marks)
    dots = page.locator(".state").all_inner_texts()
    assert all(text.strip() for text in dots)


def test_print_leaves_out_what_cannot_be_used_on_paper(open_page, ledger):
    page = open_page()
    page.emulate_media(media="print")
    assert not page.get_by_role("button", name="Show").is_visible()
    assert page.get_by_role("table").first.is_visible()


def test_links_lead_to_mlflow(open_page, ledger):
    (done, *_) = ledger.find(states={State.COMPLETED}, limit=1)
    page = open_page(f"/requests/{done.id}")
    name = done.facts.successor.rpartition("/")[0]
    link = page.get_by_role("link", name=done.facts.successor)
    assert link.get_attribute("href") == f"https://mlflow.example.org/#/models/{name}/versions/4"


def test_no_page_holds_a_selection(open_page, address, paths):
    page = open_page()
    for path in paths:
        page.goto(address + path)
        assert samples.CANARY not in page.content()


def _focused(page):
    return page.evaluate(
        """() => {
          const e = document.activeElement;
          const box = e.getBoundingClientRect(), look = getComputedStyle(e);
          return {
            id: e.id, text: e.textContent.trim(),
            outline: look.outlineStyle === "none" ? 0 : parseFloat(look.outlineWidth),
            inside: box.width > 0 && box.top >= 0 && box.left >= 0
              && box.bottom <= innerHeight && box.right <= innerWidth,
          };
        }"""
    )

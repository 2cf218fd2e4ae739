"""The certificate as the system's Chromium shows and prints it."""

import re
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit/audit"))

import test_certificate as cases

playwright_api = pytest.importorskip("playwright.sync_api")
TESTS = Path(__file__).parents[1]
NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
CONTRAST = (TESTS / "integration/intake/contrast.js").read_text(encoding="utf-8")
CONTRAST = CONTRAST.replace('"main a"', '"main h1"')  # a sheet of paper has no links
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
CASES = pytest.mark.parametrize("case", cases.CASES)


@pytest.fixture(scope="module")
def chromium():
    with (
        playwright_api.sync_playwright() as playwright,
        playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        ) as browser,
    ):
        yield browser


@pytest.fixture
def show(chromium, tmp_path):
    """Opens a page from its file; fails if it complains or asks anybody for anything."""
    contexts, complaints, asked = [], [], []
    file = tmp_path / "certificate.html"

    def run(html, *, size=(1100, 900), **options):
        file.write_text(html, encoding="utf-8")
        viewport = dict(zip(("width", "height"), size, strict=True))
        context = chromium.new_context(viewport=viewport, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        return page

    yield run
    for context in contexts:
        context.close()
    assert complaints == []
    assert set(asked) == {file.as_uri()}


def sheets(page, paper):
    """How many sheets of paper the printed page takes."""
    printed = page.pdf(format=paper, prefer_css_page_size=True)
    return len(re.findall(rb"/Type\s*/Page\b", printed))


def html_of(case):
    return cases.render(*case(), controller="Example Hospital")


@CASES
@pytest.mark.parametrize("paper", ["A4", "Letter"])
def test_it_prints_on_one_sheet(show, case, paper):
    assert sheets(show(html_of(case)), paper) == 1


@pytest.mark.parametrize("verdict", ["erased", "retrained"])
def test_it_prints_on_one_sheet_with_every_verdict(show, verdict):
    made, request_id = cases.subject_request()
    predicate = made.predicate.model_copy(update={"verdict": verdict})
    html = cases.render(made.model_copy(update={"predicate": predicate}), request_id)
    assert sheets(show(html), "Letter") == 1


def test_the_count_of_sheets_notices_a_second_one(show):
    html = html_of(cases.class_request)
    more = html.replace("</main>", '</main><p class="more">more</p>')
    more = more.replace("</style>", ".more { break-before: page; }</style>")
    assert sheets(show(more), "A4") == 2


def test_the_sheet_is_black_on_white_also_for_readers_in_the_dark(show):
    page = show(html_of(cases.refusal), color_scheme="dark")
    ink = "e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor].join()"
    assert page.eval_on_selector("body", ink) != "rgb(0, 0, 0),rgb(255, 255, 255)"
    page.emulate_media(media="print", color_scheme="dark")
    assert page.eval_on_selector("body", ink) == "rgb(0, 0, 0),rgb(255, 255, 255)"
    assert page.eval_on_selector(".failed", ink).startswith("rgb(0, 0, 0),")
    assert page.get_by_text("✗ failed").is_visible()


@CASES
@pytest.mark.parametrize("size", [(320, 640), (390, 844), (800, 600), (1100, 900)])
def test_nothing_scrolls_sideways(show, case, size):
    page = show(html_of(case), size=size)
    assert page.evaluate("document.documentElement.scrollWidth") == size[0]
    wide = page.evaluate(
        """() => [...document.querySelectorAll("main *")].filter(
            e => e.getBoundingClientRect().right > innerWidth + 0.5 && !e.closest("thead"))
            .map(e => e.outerHTML.slice(0, 80))"""
    )
    assert wide == []


@CASES
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(show, case, scheme):
    found = show(html_of(case), color_scheme=scheme).evaluate(CONTRAST)
    assert found
    assert [one for one in found if one["ratio"] < one["needed"]] == []


def test_a_reader_of_tables_finds_rows_and_columns(show):
    page = show(html_of(cases.refusal))
    table = page.get_by_role("table")
    headers = [text.strip() for text in table.get_by_role("columnheader").all_inner_texts()]
    assert headers == ["Check", "Measured", "Limit", "Result"]
    assert table.get_by_role("rowheader").count() == len(cases.GATES)
    assert page.get_by_role("img", name="QR code").count() == 1

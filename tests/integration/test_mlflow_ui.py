"""From a registered model's page to everything about it, by clicking only, in a real browser.

    SCREENSHOTS=docs/images pytest tests/integration/test_mlflow_ui.py

takes the pictures that the documentation shows.
"""

import io
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from PIL import Image

from flows.unlearn import unlearn
from lethe.data.forget_spec import ForgetSpec
from lethe.data.selection import Selection
from lethe.deletion.request import DeletionRequest
from lethe.settings import load_settings
from tasks.one_request import file_request

playwright_api = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium here"),
]
WAIT = 120
LETHE = [sys.executable, "-c", "from cli.main import main; main()"]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def result(project):
    spec = ForgetSpec(dataset="data/digits", selection=Selection(classes=("3",)))
    request = DeletionRequest(model="digits@champion", forget=spec)
    return unlearn(file_request(load_settings(), request).id)


@pytest.fixture
def ui(result, project):
    """The address of `lethe ui`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # One process of MLflow's four is enough for one browser.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_WORKERS": "1"}
    command = [*LETHE, "ui", "--port", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=project, env=environment, **quiet) as server:
        try:
            transport = httpx.HTTPTransport(retries=12)  # doubling pauses: minutes in all
            with httpx.Client(transport=transport, timeout=WAIT) as client:
                address = f"http://127.0.0.1:{port}"
                assert client.get(f"{address}/health").status_code == 200
            yield address
        finally:
            server.terminate()


@pytest.fixture
def page(ui):
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(WAIT * 1000)
        page.goto(f"{ui}/#/models/digits")
        yield page
        browser.close()


def follow(page, name):
    """Click a link; where it leads, perhaps in a new tab."""
    link = page.get_by_role("link", name=name, exact=True).first
    link.wait_for()
    if link.get_attribute("target") != "_blank":
        link.click()
        return page
    with page.context.expect_page() as opened:
        link.click()
    opened.value.set_default_timeout(WAIT * 1000)
    return opened.value


def shown(page, words):
    """Wait until an artifact, which is shown in a frame, says something."""
    page.frame_locator("iframe").get_by_text(words).first.wait_for()


def picture(page, name, height=900):
    """The page without the UI's own side panels, in few colours, without this machine's folders."""
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        hide = "all => all.forEach(one => { one.style.visibility = 'hidden' })"
        page.get_by_text(re.compile(r"^Path: ")).evaluate_all(hide)
        taken = page.screenshot(clip={"x": 196, "y": 0, "width": 750, "height": height})
        image = Image.open(io.BytesIO(taken)).convert("RGB").quantize(128, dither=0)
        image.save(ROOT / folder / f"{name}.png", optimize=True)


def test_everything_about_a_version_is_reached_by_clicking(page, result):
    version = follow(page, "Version 2")
    version.get_by_text("Forgot class 3").wait_for()
    version.get_by_text("champion").first.wait_for()
    picture(version, "version-page")

    parent = follow(version, "version 1")
    parent.get_by_text("forgot class 3 of this version").wait_for()
    assert parent.url.endswith("#/models/digits/versions/1")
    parent.get_by_text("lethe.superseded_by").wait_for()

    run = follow(version, "Run")
    assert result.run_id in run.url
    data = run.get_by_text("digits (forget)").first
    data.wait_for()
    data.click()
    run.get_by_text(re.compile("data/digits")).first.wait_for()

    report = follow(version, "Report")
    shown(report, "suppressed")
    certificate = follow(version, "Certificate")
    shown(certificate, "The model no longer answers")
    shown(certificate, result.request_id)
    picture(certificate, "certificate-page")
    lineage = follow(version, "Lineage")
    drawn = lineage.locator("img[src^='blob:'], img[src*='lineage.svg']").first
    drawn.wait_for()
    assert drawn.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
    picture(lineage, "lineage-page", 390)
    statement = follow(version, "Statement")
    statement.get_by_text("in-toto.io").first.wait_for()

"""A request past its deadline: the flow fails, and somebody is told, by Prefect's automations."""

import json
import os
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from sqlalchemy import create_engine, text

from infra.stack.demo import lethe
from infra.stack.health import csrf, prefect_client
from infra.stack.prepare import ensure_automations
from infra.stack.secrets import pgpass_file

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def told():
    """Address of somebody who is told, and what they hear."""
    heard = queue.Queue()

    class Ear(BaseHTTPRequestHandler):
        def do_POST(self):
            heard.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Ear) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook", heard
        server.shutdown()


def test_a_request_past_its_deadline_is_told_once_by_each_automation(stack, told, monkeypatch):
    settings, credentials = stack
    address, heard = told
    ensure_automations(settings, credentials, address)
    ensure_automations(settings, credentials, address)  # again: the same two
    words = ("requests", "submit", "digits@champion", "--dataset", "data/digits", "--classes", "0")
    lethe(settings, credentials, *words, "--ticket", "LATE-1")
    listed = json.loads(lethe(settings, credentials, "requests", "list", "--json"))
    request = next(one["id"] for one in listed if one["ticket"] == "LATE-1")
    lethe(settings, credentials, "requests", "hold", request, "--reason", "A test")
    monkeypatch.setitem(os.environ, "PGPASSFILE", str(pgpass_file(settings, "lethe")))
    engine = create_engine(
        f"postgresql+psycopg://lethe@{settings.host}:{settings.postgres_port}/lethe"
    )
    with engine.begin() as ledger:
        late = text("UPDATE requests SET due_at = '2020-01-01T00:00:00Z' WHERE id = :id")
        assert ledger.execute(late, {"id": request}).rowcount == 1
    with prefect_client(settings, credentials) as client:
        found = client.get("/deployments/name/overdue-requests/daily").json()
        path = f"/deployments/{found['id']}/create_flow_run"
        assert client.post(path, json={}, headers=csrf(client)).status_code == 201
    texts = {heard.get(timeout=300)["text"] for _ in range(2)}
    assert any("past its deadline" in one for one in texts)
    assert any(one.startswith("overdue-requests/") and "Failed" in one for one in texts)
    lethe(settings, credentials, "requests", "cancel", request)

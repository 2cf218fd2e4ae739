"""A server in front of Prefect's that is too busy for the first few calls."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx


@contextmanager
def busy_front(api):
    """Address of the API behind it, and a list: so many calls are answered with 503 at first."""
    left = [0]

    class Front(BaseHTTPRequestHandler):
        def do_GET(self):
            length = int(self.headers.get("content-length", 0))
            body, left[0] = self.rfile.read(length), left[0] - 1
            if left[0] >= 0:
                self.send_response(503)
                self.end_headers()
                return
            kind = {"content-type": self.headers.get("content-type", "application/json")}
            url = api.removesuffix("/api") + self.path
            got = httpx.request(self.command, url, content=body, headers=kind, timeout=30)
            self.send_response(got.status_code)
            self.send_header("content-type", got.headers["content-type"])
            self.send_header("content-length", str(len(got.content)))
            self.end_headers()
            self.wfile.write(got.content)

        do_POST = do_GET  # noqa: N815 (the library's name)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Front) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/api", left
        finally:
            server.shutdown()
            thread.join()

"""Proxies in front of an S3 endpoint that change requests or responses, as proxies of other people do.

Behind them is ministack, which does not notice that a signed header is missing.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

HOP = {"connection", "transfer-encoding", "content-length"}
Change = Callable[[str, bytes], bytes]


def _unchanged(path: str, body: bytes) -> bytes:
    return body


@contextmanager
def proxy(
    endpoint_url: str, drop: frozenset[str] = frozenset(), change: Change = _unchanged
) -> Iterator[str]:
    """Start a proxy that drops request headers and changes responses; yield its URL.

    ``change(path and query, body)`` returns the body to send on instead of that of a successful GET or POST.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(endpoint_url, drop, change))
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(endpoint_url: str, drop: frozenset[str], change: Change) -> type[BaseHTTPRequestHandler]:
    where = urlsplit(endpoint_url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            sent = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in drop}
            onward = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
            onward.request(self.command, self.path, sent, headers)
            answer = onward.getresponse()
            reply = answer.read()
            onward.close()
            if self.command in ("GET", "POST") and answer.status == 200:
                reply = change(self.path, reply)
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in HOP:
                    self.send_header(name, value)
            length = answer.getheader("content-length") if self.command == "HEAD" else str(len(reply))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            self.wfile.write(reply)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    return Handler

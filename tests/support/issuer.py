"""A small server that issues credentials as a container agent, an instance or a token service does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

_INSTANCE = "/latest/meta-data/iam/security-credentials/"
_STS = (
    "<{0}Response><{0}Result><Credentials><AccessKeyId>{1}</AccessKeyId><SecretAccessKey>{2}</SecretAccessKey>"
    "<SessionToken></SessionToken><Expiration>{3}</Expiration></Credentials></{0}Result></{0}Response>"
)


@dataclass
class Issuer:
    """Issues ``keys`` that expire within a minute, so that every use asks again; ``asked`` are the bodies."""

    url: str
    keys: tuple[str, str]
    asked: list[str] = field(default_factory=list)


@contextmanager
def issuer(keys: tuple[str, str]) -> Iterator[Issuer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    made = Issuer(f"http://127.0.0.1:{server.server_port}", keys)
    server.RequestHandlerClass = _handler(made)  # type: ignore[assignment]
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(made: Issuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
            made.asked.append(body)
            text = _reply(made.keys, self.path, body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.send_header("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PUT = do_POST = answer

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    return Handler


def _reply(keys: tuple[str, str], path: str, body: str) -> str:
    until = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    if body:
        name = "AssumeRoleWithWebIdentity" if "WebIdentityToken=" in body else "AssumeRole"
        return _STS.format(name, *keys, until)
    if path.startswith("/latest/api/token"):
        return "token"
    if path == _INSTANCE:
        return "role"
    words = {"AccessKeyId": keys[0], "SecretAccessKey": keys[1], "Token": "", "Expiration": until}
    return json.dumps(words | {"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": until})

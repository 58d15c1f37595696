"""What stands between us and a server elsewhere: a private CA, TLS in front of a store, a forward proxy."""

from __future__ import annotations

import http.client
import select
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

ELSEWHERE = "store.invalid"  # a name that no resolver knows: only a proxy can lead to it


@dataclass(frozen=True)
class Certificates:
    """Files: the CA's certificate; certificate and key of a server on loopback or named ELSEWHERE."""

    ca: Path
    server: Path
    key: Path


def certificates(folder: Path) -> Certificates:
    """Make a private CA and a certificate signed by it."""
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority, name = _name(f"CA of {folder.name}"), _name("server")
    is_ca = x509.BasicConstraints(ca=True, path_length=0)
    ca = _builder(authority, authority, ca_key).add_extension(is_ca, critical=True).sign(ca_key, SHA256())
    names = [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName(ELSEWHERE), x509.DNSName("localhost")]
    alternative = x509.SubjectAlternativeName(names)
    own = _builder(name, authority, key).add_extension(alternative, critical=False).sign(ca_key, SHA256())
    made = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    made.ca.write_bytes(ca.public_bytes(Encoding.PEM))
    made.server.write_bytes(own.public_bytes(Encoding.PEM))
    made.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    made.key.chmod(0o600)
    return made


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))


@contextmanager
def tls_in_front_of(port: int, made: Certificates) -> Iterator[int]:
    """Serve TLS on a port of loopback, and pass what is said on to ``port``; yield the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.server, made.key)

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError), context.wrap_socket(self.request, server_side=True) as client:
                _relay(client, port)

    with _served(ThreadingTCPServer(("127.0.0.1", 0), Handler)) as own:
        yield own


@contextmanager
def forward_proxy(port: int) -> Iterator[str]:
    """Start a proxy for http and https that leads every request to ``port`` of loopback; yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            parts = urlsplit(self.path)
            assert parts.hostname == ELSEWHERE, "a request to a proxy names the whole address"
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            onward = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            onward.request(
                self.command, parts._replace(scheme="", netloc="").geturl(), body, dict(self.headers)
            )
            answer = onward.getresponse()
            reply = answer.read()
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                    self.send_header(name, value)
            self.send_header("Content-Length", answer.getheader("content-length") or str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)
            onward.close()

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward

        def do_CONNECT(self) -> None:
            assert self.path.partition(":")[0] == ELSEWHERE
            self.send_response_only(200)
            self.end_headers()
            _relay(self.connection, port)
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    with _served(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as own:
        yield f"http://127.0.0.1:{own}"


@contextmanager
def _served(server: ThreadingTCPServer) -> Iterator[int]:
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _relay(client: socket.socket, port: int) -> None:
    """Copy bytes both ways until one side closes."""
    with socket.create_connection(("127.0.0.1", port)) as onward:
        while True:
            waiting = client.pending() if isinstance(client, ssl.SSLSocket) else 0
            ready = [client] if waiting else select.select([client, onward], [], [], 60)[0]
            for one in ready:
                if not (data := one.recv(1 << 16)):
                    return
                (onward if one is client else client).sendall(data)

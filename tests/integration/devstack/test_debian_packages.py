"""Running a program of a Debian package from the cache folder, without installing the package."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from devstack import debian, ports
from devstack.debian import DebianPackage
from devstack.errors import DevstackError
from devstack.process import base_env, start_process, tail, wait_ready
from tests.conftest import missing

REDIS = DebianPackage("redis-server", "usr/bin/redis-server")

pytestmark = pytest.mark.server


def ask(port: int, request: bytes) -> bytes:
    with socket.create_connection((ports.HOST, port), timeout=10) as connection:
        connection.sendall(request)
        return connection.recv(100)


def test_redis_is_fetched_and_serves_on_loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    said: list[str] = []
    try:
        program = debian.fetch(REDIS, said.append)
    except DevstackError as error:
        missing["redis-server"] = f"no redis-server: {error}"
        pytest.skip(missing["redis-server"])
    assert debian.fetch(REDIS) == program
    assert any(line.startswith("Downloading ") for line in said)
    port, log = ports.choose(), tmp_path / "server.out"
    options = ["--port", str(port), "--bind", ports.HOST, "--save", "", "--dir", str(tmp_path)]
    server = start_process([program, *options], env=base_env(tmp_path), cwd=tmp_path, log=log)
    try:
        wait_ready("redis-server", server, lambda: ports.accepts(port), log, 30)
        assert ask(port, b"PING\r\n") == b"+PONG\r\n"
    finally:
        server.stop()
    assert not server.alive(), tail(log)

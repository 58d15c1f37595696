"""pgbouncer in front of a PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from devstack import ports, tools
from devstack.errors import DevstackError
from devstack.process import base_env, start_process, wait_ready
from storage.backup.postgres import programs


@contextmanager
def pooler(url: str, folder: Path, mode: str, *, drops: str = "", first: str = "") -> Iterator[str]:
    """Start pgbouncer; yield the URL through it. ``drops``: start-up parameters; ``first``: its statement."""
    try:
        program = tools.program("pgbouncer")
    except DevstackError as error:
        pytest.skip(str(error))
    port, behind = ports.choose(), make_url(url)
    words = f"host={behind.host} port={behind.port} user={behind.username} password={behind.password}"
    query = f" connect_query='{first}'" if first else ""
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = {words}{query}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"auth_type = any\nunix_socket_dir =\npool_mode = {mode}\nignore_startup_parameters = {drops}\n"
    )
    argv: list[object] = [program, folder / "pgbouncer.ini"]
    if (account := programs.account()) is not None:  # it refuses to run as root
        argv += ["-u", account]
    log = folder / "pgbouncer.output"
    process = start_process(argv, env=base_env(folder), cwd=folder, log=log)
    try:
        wait_ready("pgbouncer", process, lambda: ports.accepts(port), log, 20)
        yield behind.set(port=port).render_as_string(hide_password=False)
    finally:
        process.stop()

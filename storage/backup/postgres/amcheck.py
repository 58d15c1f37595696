"""Checks inside a restored database: pg_amcheck, and the queries of ``sql/proof``."""

from __future__ import annotations

import subprocess
from pathlib import Path

from storage.backup.errors import NoPostgresProgram, ScratchFault
from storage.backup.postgres import programs
from storage.backup.postgres.child_process import Stderr, login, spawn
from storage.backup.postgres.dump import MACHINE
from storage.stores.postgres.connection import connect, translated
from storage.stores.postgres.sqlfiles import folder


def amcheck(url: str, major: int) -> tuple[bool, str]:
    """Check tables and indexes; return if they are sound, and the findings; (True, why) if unavailable.

    Raises ScratchFault where the machine failed.
    """
    try:
        program = programs.client("pg_amcheck", major)
    except NoPostgresProgram:
        return True, "no pg_amcheck here"
    output = Stderr()
    with login(url) as (dsn, opened):
        argv = [program, "--no-password", "--install-missing", "--heapallindexed", dsn]
        child = spawn(argv, stdin=subprocess.DEVNULL, stdout=output.file, stderr=output.file, **opened)
        code = child.wait()
    text = output.text()
    if "could not open extension control file" in text or "permission denied to create extension" in text:
        return True, "the server has no amcheck"
    if code < 0 or (code and MACHINE.search(text)):
        raise ScratchFault(text)
    return code == 0, text


def questions(url: str, files: Path | None = None) -> dict[str, list[str]]:
    """Run each ``sql/proof/*.sql``, a query that finds nothing where all is well; return the rows found."""
    engine, found = connect(url), dict[str, list[str]]()
    try:
        for path in sorted(((files or folder()) / "proof").glob("*.sql")):
            with translated(), engine.connect() as session:
                rows = session.exec_driver_sql(path.read_text().replace("%", "%%")).fetchmany(10)
                found[path.stem] = [str(tuple(row)) for row in rows]
    finally:
        engine.dispose()
    return found

"""Checks inside a restored database: pg_amcheck, and the queries of ``sql/proof``."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from storage.backup.errors import NoPostgresProgram, ScratchFault
from storage.backup.postgres import programs
from storage.backup.postgres.child_process import Stderr, login, spawn
from storage.backup.postgres.dump import MACHINE
from storage.stores.postgres.connection import connect, translated
from storage.stores.postgres.messages import shown, shown_output
from storage.stores.postgres.sqlfiles import folder

_OBJECT = re.compile(r"(heap table|btree index) [^\n]*:$")


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
        raise ScratchFault(shown_output(text))
    return code == 0, _findings(text) if code else shown_output(text)


def _findings(text: str) -> str:
    lines = (line if _OBJECT.match(line) else shown(line) for line in text.splitlines())
    return " ".join(dict.fromkeys(" ".join(line.split()) for line in lines))[:500]


def questions(url: str, files: Path | None = None) -> dict[str, int]:
    """Run each ``sql/proof/*.sql``, which finds nothing where all is well; return how many rows, up to 10."""
    engine, found = connect(url), dict[str, int]()
    try:
        for path in sorted(((files or folder()) / "proof").glob("*.sql")):
            with translated(), engine.connect() as session:
                rows = session.exec_driver_sql(path.read_text().replace("%", "%%")).fetchmany(10)
                found[path.stem] = len(rows)
    finally:
        engine.dispose()
    return found

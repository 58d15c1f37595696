"""Test runner that forks a child for each run, which saves starting the interpreter and its imports.

``python -m tests.faults.bug_runner`` in a copy of the project: each line of its input is a JSON object with
arguments for pytest and a timeout, each line of its output is the result of that run. Only third-party
modules are imported before the fork.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

PRELOADED = (
    *("hypothesis", "sqlalchemy.dialects.postgresql.psycopg2", "psycopg2", "boto3", "botocore.session"),
    *("botocore.handlers", "minio", "pyrage", "rich.console", "rich.table", "zstandard", "lz4.frame"),
    "zlib_ng.zlib_ng",
)
OPTIONS = ("-x", "-q", "-p", "no:cacheprovider")


def main() -> None:
    import pytest

    for name in PRELOADED:
        with suppress(ImportError):  # preloading only saves time
            importlib.import_module(name)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # any other output goes to stderr, not among the answers
    for line in sys.stdin:
        asked = json.loads(line)
        code, said = _forked(pytest, asked["arguments"], asked["seconds"])
        print(json.dumps({"code": code, "output": said}), file=answers, flush=True)


def _forked(pytest: Any, arguments: list[str], seconds: float) -> tuple[int | None, str]:
    """Return the exit code of pytest and its output; the code is None after a timeout."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "output")
        child = os.fork()
        if child == 0:
            _work(pytest, arguments, output)
        code = _ended(child, time.monotonic() + seconds)
        return code, output.read_text(errors="replace")


def _work(pytest: Any, arguments: list[str], output: Path) -> None:
    code = 99
    try:
        os.setsid()  # so that the processes it leaves can be killed as a group
        file = os.open(output, os.O_WRONLY | os.O_CREAT)
        empty = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((empty, 0), (file, 1), (file, 2)):
            os.dup2(source, target)
        code = int(pytest.main([*OPTIONS, *arguments]))
        sys.stdout.flush()
    finally:
        os._exit(code)


def _ended(child: int, until: float) -> int | None:
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.02)


if __name__ == "__main__":
    main()

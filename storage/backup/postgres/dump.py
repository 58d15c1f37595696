"""PostgreSQL's client programs as streams: dump, globals, restore."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO, cast

from storage.backup.errors import DumpFailed, RestoreFailed, ScratchFault
from storage.backup.postgres import programs
from storage.backup.postgres.child_process import Stderr, login, spawn, widen
from storage.stores.postgres.messages import shown_output

#: Error output when the machine failed and not the backup.
MACHINE = re.compile(
    r"No space left on device|could not extend file|connection to server|server closed the connection|"
    r"terminating connection|canceling statement|out of memory|out of shared memory|Cannot allocate memory|"
    r"could not write|temporary file size exceeds|too many clients|Input/output error"
)


@contextmanager
def dump(url: str, major: int, snapshot: str, extra: Sequence[str] = ()) -> Iterator[BinaryIO]:
    """Yield the custom-format dump of exactly that snapshot, uncompressed, while it is produced.

    Raises DumpFailed at the end unless pg_dump succeeded: the data read must not count then.
    """
    program = programs.client("pg_dump", major)
    # Its locks are those that the session of the snapshot holds. If it has to wait, a TRUNCATE or ALTER is
    # queued between the two, and all readers behind that: give way.
    options = ["-Fc", "-Z0", f"--snapshot={snapshot}", "--lock-wait-timeout=5000", *extra]
    with _output(program, url, options) as stream:
        yield stream


@contextmanager
def globals_of(url: str, major: int) -> Iterator[BinaryIO]:
    """Yield roles, memberships and tablespaces as SQL, without passwords."""
    options = ["--globals-only", "--no-role-passwords"]
    with _output(programs.client("pg_dumpall", major), url, options) as stream:
        yield stream


@contextmanager
def _output(program: Path, url: str, options: Sequence[str]) -> Iterator[BinaryIO]:
    stderr = Stderr()
    with login(url) as (dsn, opened):
        argv = [program, "--no-password", "-d", dsn, *options]
        child = spawn(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr.file, **opened)
        assert child.stdout
        widen(child.stdout)
        try:
            yield cast(BinaryIO, child.stdout)
            code = child.wait(60)
        finally:
            child.stdout.close()
            child.kill()
            child.wait()
        message = stderr.text()
        if code or _complaints(message):
            raise DumpFailed(program.name, shown_output(message) or f"it ended with {code} and no message")


def _complaints(message: str) -> bool:
    """Return True if stderr has an error although the program succeeded; warnings are no errors."""
    return re.search(r": error:|: fatal:", message) is not None


@contextmanager
def restore(url: str, major: int, options: Sequence[str] = ()) -> Iterator[IO[bytes]]:
    """Yield a stream for a dump to restore into the database of ``url``. The restore stops at any error.

    Raises RestoreFailed for a dump that does not restore, ScratchFault where the machine failed.
    """
    stderr, program = Stderr(), programs.client("pg_restore", major)
    with login(url) as (dsn, opened):
        argv = [program, "--no-password", "--exit-on-error", "-d", dsn, *options]
        child = spawn(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=stderr.file, **opened)
        assert child.stdin
        try:
            with suppress(BrokenPipeError):  # pg_restore has stopped: its stderr says why
                yield child.stdin
                child.stdin.close()
            code = child.wait()
        finally:
            child.kill()
            child.wait()
        if code:
            message = stderr.text()
            killed = f"pg_restore was ended by signal {-code}" if code < 0 else ""
            raise (
                ScratchFault(killed or shown_output(message))
                if killed or MACHINE.search(message)
                else RestoreFailed(shown_output(message))
            )


@contextmanager
def contents(major: int) -> Iterator[tuple[IO[bytes], list[str]]]:
    """Yield a stream to write a dump to, and its table of contents, filled once the block has ended.

    Raises RestoreFailed.
    """
    stderr, answer, lines = Stderr(), Stderr(), list[str]()
    program = programs.client("pg_restore", major)
    child = spawn([program, "--list"], stdin=subprocess.PIPE, stdout=answer.file, stderr=stderr.file)
    assert child.stdin
    with suppress(BrokenPipeError):  # it reads no further than the table of contents
        yield child.stdin, lines
        child.stdin.close()
    if child.wait():
        raise RestoreFailed(shown_output(stderr.text()))
    lines += answer.text(most=1 << 24).splitlines()


def tool(program: str, major: int) -> str:
    """Return a program's version, for the manifest."""
    return ".".join(map(str, programs.version(programs.client(program, major))))

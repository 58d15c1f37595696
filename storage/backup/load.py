"""Restore of a backup's dump into an empty database."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import pyrage

from storage.backup.context import MIB, Progress
from storage.backup.download import fetched
from storage.backup.encryption import Sink, unseal
from storage.backup.errors import BackupDamaged, RestoreFailed, RightsMissing
from storage.backup.model import Manifest
from storage.backup.postgres import dump as pg_dump
from storage.backup.postgres import temporary_server
from storage.core.ports import ObjectStore

Keys = Sequence[pyrage.x25519.Identity]
Wanted = Callable[[str], bool]

#: Options for a copy beside the live database. A subscription in it would name the live one's slot at the
#: publisher: the copy could not be dropped without the subscription, and that not without the slot.
COPY = ("--no-subscriptions",)
#: Error output when the role lacks rights that the dump requires.
_RIGHTS = re.compile(
    r"permission denied|must be (?:owner|member|superuser|able)|role \"[^\"]*\" does not exist"
)


def load(
    manifest: Manifest,
    backup_bucket: ObjectStore,
    url: str,
    keys: Keys,
    options: Sequence[str] = (),
    *,
    access: bool = False,
    wanted: Wanted | None = None,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Restore the dump into the database of ``url``; owners and grants only with ``access``.

    ``wanted`` selects lines of the dump's table of contents. Returns the extensions the server lacks: they
    are left out, and the restore fails if anything needs them. Raises BackupDamaged for a dump that does not
    restore, RightsMissing for a role that may not restore it, ScratchFault where the machine failed.
    """
    major, lacking = manifest.database.major, _lacking(manifest, url)
    picked = _picked(lacking, wanted)
    with (
        temporary_server.machine_faults(),
        fetched(manifest.part("dump"), backup_bucket) as file,
        _listed(picked, file, major, keys) as listed,
    ):
        chosen = [*([] if access else ["--no-owner", "--no-acl"]), *listed, *options]
        try:
            with pg_dump.restore(url, major, chosen) as stdin:
                unseal(file, _Poured(stdin, progress), keys)
        except RestoreFailed as error:
            if _RIGHTS.search(error.args[0]):
                raise RightsMissing(error.args[0]) from error
            named = f" (the server lacks the extensions {', '.join(lacking)})" if lacking else ""
            raise BackupDamaged(f"it does not restore{named}: {error.args[0]}") from error
    return lacking


def _lacking(manifest: Manifest, url: str) -> tuple[str, ...]:
    return tuple(sorted(set(manifest.database.extensions) - temporary_server.extensions(url)))


def _picked(lacking: Sequence[str], wanted: Wanted | None) -> Wanted | None:
    """Return the filter of the table of contents; None selects all of it."""
    if not lacking:
        return wanted
    names = "|".join(map(re.escape, lacking))
    theirs = re.compile(rf" (EXTENSION - ({names})|COMMENT - EXTENSION ({names})) ?$")
    return lambda line: not theirs.search(line) and (wanted is None or wanted(line))


@contextmanager
def _listed(picked: Wanted | None, dump: BinaryIO, major: int, keys: Keys) -> Iterator[list[str]]:
    """Yield pg_restore options that leave out every line of the table of contents that is not picked."""
    if picked is None:
        yield []
        return
    with pg_dump.contents(major) as (stdin, lines):
        unseal(dump, stdin, keys)
    dump.seek(0)
    with tempfile.NamedTemporaryFile("w", prefix="storage-list-") as file:
        file.write("\n".join(filter(picked, lines)))
        file.flush()
        yield ["-L", file.name]


class _Poured:
    """Sink that reports how many MiB were written to it."""

    def __init__(self, sink: Sink, progress: Progress | None) -> None:
        self._sink, self._progress, self._written, self._reported = sink, progress, 0, 0

    def write(self, data: bytes) -> int:
        self._sink.write(data)
        self._written += len(data)
        if self._progress and self._written // MIB > self._reported:
            self._reported = self._written // MIB
            self._progress("MiB restored", self._reported)
        return len(data)

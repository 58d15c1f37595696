"""Loading a backup into an empty database."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import pyrage

from storage.backup_model import Manifest
from storage.backups.fetch import fetched
from storage.backups.sealing import unseal
from storage.errors import BackupDamaged, RestoreFailed
from storage.ports import ObjectStore
from storage.stores import pg_dump, pg_scratch

Keys = Sequence[pyrage.x25519.Identity]


def load(
    manifest: Manifest, vault: ObjectStore, url: str, keys: Keys, options: Sequence[str] = ()
) -> tuple[str, ...]:
    """Restore the dump into the database of ``url``, owners and grants left out.

    Returns the extensions the server lacks: they are left out, and what needs one makes the restore fail.
    Raises BackupDamaged for a dump that does not restore, ScratchFault where the machine failed.
    """
    major, lacking = manifest.database.major, _lacking(manifest, url)
    with fetched(manifest.part("dump"), vault) as file, _without(lacking, file, major, keys) as listed:
        chosen = ["--no-owner", "--no-acl", *listed, *options]
        try:
            with pg_dump.restore(url, major, chosen) as stdin:
                unseal(file, stdin, keys)
        except RestoreFailed as error:
            named = f" (the server lacks the extensions {', '.join(lacking)})" if lacking else ""
            raise BackupDamaged(f"it does not restore{named}: {error.args[0]}") from error
    return lacking


def _lacking(manifest: Manifest, url: str) -> tuple[str, ...]:
    return tuple(sorted(set(manifest.database.extensions) - pg_scratch.extensions(url)))


@contextmanager
def _without(lacking: Sequence[str], dump: BinaryIO, major: int, keys: Keys) -> Iterator[list[str]]:
    """Options of pg_restore that leave out what concerns these extensions; none for none."""
    if not lacking:
        yield []
        return
    with pg_dump.contents(major) as (stdin, lines):
        unseal(dump, stdin, keys)
    dump.seek(0)
    names = "|".join(map(re.escape, lacking))
    theirs = re.compile(rf" (EXTENSION - ({names})|COMMENT - EXTENSION ({names})) ?$")
    with tempfile.NamedTemporaryFile("w", prefix="storage-list-") as file:
        file.write("\n".join(line for line in lines if not theirs.search(line)))
        file.flush()
        yield ["-L", file.name]

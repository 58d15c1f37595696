"""Reading of metadata backups: their lines and documents, and putting a job's documents back."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, Literal, TypeVar, cast

import pyrage

from storage.backup import manifest as manifests
from storage.backup.context import BackupContext, as_recorded
from storage.backup.download import write_decrypted
from storage.backup.encryption import identities
from storage.backup.errors import BackupDamaged
from storage.backup.model import BackupId, Manifest
from storage.core.attributes import Attributes, Document
from storage.core.errors import InvalidName, PreconditionFailed, StoreRefused
from storage.core.model import JobId, ObjectKey, Prefix, printable
from storage.core.ports import ObjectStore

LINE = 32 << 20  # bytes of the longest line: a document of 16 MiB in base64 and its attributes
Keys = Sequence[pyrage.x25519.Identity]
Noun = TypeVar("Noun")


@dataclass(frozen=True, slots=True)
class PutBack:
    """Result for one document. ``kept``: another object has its key; ``equal``: the same object has it."""

    key: ObjectKey
    result: Literal["created", "replaced", "kept", "equal", "refused"]
    why: str = ""

    def __str__(self) -> str:
        return f"{self.result:9}{printable(self.key)}{f' ({self.why})' if self.why else ''}"


def documents(
    manifest: Manifest, backup_bucket: ObjectStore, keys: Keys, prefix: Prefix | None = None
) -> Iterator[Document]:
    """Stream the documents in key order, or only those under ``prefix``. Raises BackupDamaged or NoKey."""
    for document in lines(manifest, "documents", backup_bucket, keys, _document):
        if prefix is None or document.key.startswith(prefix):
            yield document
        elif document.key > prefix:
            return  # keys ascend: no later one has the prefix


def lines(
    manifest: Manifest,
    kind: str,
    backup_bucket: ObjectStore,
    keys: Keys,
    make: Callable[[dict[str, Any]], Noun],
) -> Iterator[Noun]:
    """Yield ``make`` of each JSON line of the parts ``kind-*``. Disk: two files of the part being read."""
    for part in manifest.parts:
        if not part.name.startswith(f"{kind}-"):
            continue
        with tempfile.TemporaryFile(prefix="storage-lines-") as file:
            write_decrypted(part, backup_bucket, cast(BinaryIO, file), keys)
            file.seek(0)
            for number, line in enumerate(iter(partial(file.readline, LINE + 1), b""), 1):
                if len(line) > LINE:
                    raise BackupDamaged(f"line {number} of its part {part.name} has more than {LINE:,} bytes")
                yield made(f"line {number} of its part {part.name}", line, make)


def made(what: str, text: bytes, make: Callable[[dict[str, Any]], Noun]) -> Noun:
    """Parse a JSON text and return ``make`` of it. Raises BackupDamaged if it is not well-formed."""
    try:
        return make(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidName) as error:
        raise BackupDamaged(f"{what} is not well-formed ({error})") from error


def _document(values: dict[str, Any]) -> Document:
    body = base64.b64decode(values["body"], validate=True)
    if len(body) != values["size"]:
        raise ValueError(f"{len(body)} bytes, not {values['size']}")
    attributes = Attributes(values["content_type"], values["content_encoding"], values["metadata"])
    return Document(ObjectKey(values["key"]), values["etag"], values["md5"], attributes, body)


def put_back(context: BackupContext, id: BackupId, job: JobId, *, overwrite: bool = False) -> list[PutBack]:
    """Recreate a job's metadata.json where it is missing; with ``overwrite`` also replace a different one.

    Returns the result for each document of the job. Raises NoSuchBackup, BackupDamaged, NoKey or errors of
    the store.
    """
    stores = context.stores
    manifest, sha256 = manifests.read(id, stores.backup_bucket)
    as_recorded(context, id, sha256)
    keys = identities(context.settings.backup_identity_file)
    stores.audit.record("put-back", "", {"id": id, "job": job, "overwrite": overwrite})
    found = documents(manifest, stores.backup_bucket, keys, Prefix(f"processed/{job}/"))
    return [_put(stores.objects, document, overwrite) for document in found]


def _put(objects: ObjectStore, document: Document, overwrite: bool) -> PutBack:
    key, current = document.key, objects.head(document.key)
    if current and (current.etag, current.size) == (document.etag, len(document.body)):
        return PutBack(key, "equal")
    if current and not overwrite:
        return PutBack(key, "kept")
    try:
        objects.create(key, document.body, document.attributes, over=overwrite)
    except PreconditionFailed:
        return PutBack(key, "kept")
    except StoreRefused as error:
        return PutBack(key, "refused", str(error))
    return PutBack(key, "replaced" if current else "created")

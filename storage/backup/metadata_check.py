"""Proof of metadata backups: read again, counted, and compared with a sample of the real objects."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from storage.backup.context import BackupContext
from storage.backup.documents import Keys, documents, lines, made
from storage.backup.download import read_decrypted
from storage.backup.encryption import identities
from storage.backup.errors import BackupDamaged, NotProven
from storage.backup.metadata import TEMP, Tally, ahead
from storage.backup.model import Manifest, MetadataFacts
from storage.core.attributes import Document
from storage.core.errors import Refused
from storage.core.model import ObjectInfo, ObjectKey, printable
from storage.core.ports import ObjectStore

SAMPLE, ENOUGH = 100, 20  # objects compared; from how many the share of missing ones is judged


def proof(context: BackupContext, manifest: Manifest) -> dict[str, Any]:
    """Check a metadata backup; return its certificate values. Raises BackupDamaged, NotProven or NoKey."""
    backup_bucket, keys = context.stores.backup_bucket, identities(context.settings.backup_identity_file)
    facts, tally, drawn = manifest.metadata, Tally(), list[ObjectInfo]()
    for info in _drawing(lines(manifest, "objects", backup_bucket, keys, _info), drawn):
        if tally.objects and info.key <= tally.last_key:
            raise BackupDamaged(f"its inventory is out of order at {printable(info.key)}")
        tally.add(info)
    for document in _in_order(documents(manifest, backup_bucket, keys)):
        _check(document)
        tally.documents += 1
    _same(tally, facts)
    return {
        "bucket": facts.bucket,
        "objects": facts.objects,
        "bytes": facts.bytes,
        "documents": facts.documents,
        "missing_documents": facts.missing_documents,
        "left_out": facts.left_out,
        "configuration": _configuration(manifest, backup_bucket, keys),
        "sample": _compared(context.stores.objects, drawn, facts.store_time),
    }


def _info(values: dict[str, Any]) -> ObjectInfo:
    key, size, etag = values["key"], values["size"], values["etag"]
    if not (isinstance(key, str) and isinstance(etag, str) and type(size) is int and size >= 0):
        raise ValueError("its key, size or etag")
    return ObjectInfo(
        ObjectKey(key), size, datetime.fromisoformat(values["last_modified"]), etag, values["class"]
    )


def _drawing(entries: Iterator[ObjectInfo], drawn: list[ObjectInfo]) -> Iterator[ObjectInfo]:
    """Yield the entries; meanwhile fill ``drawn`` with a sample in which all are equally likely."""
    for number, entry in enumerate(entries):
        if len(drawn) < SAMPLE:
            drawn.append(entry)
        elif (place := random.randint(0, number)) < SAMPLE:
            drawn[place] = entry
        yield entry


def _in_order(found: Iterator[Document]) -> Iterator[Document]:
    last = ""
    for document in found:
        if document.key <= last:
            raise BackupDamaged(f"its documents are out of order at {printable(document.key)}")
        last = document.key
        yield document


def _check(document: Document) -> None:
    if document.md5 and hashlib.md5(document.body, usedforsecurity=False).hexdigest() != document.etag:
        raise NotProven(f"the MD5 of {printable(document.key)} is not the etag it was fetched with")


def _same(tally: Tally, facts: MetadataFacts) -> None:
    """Raise BackupDamaged if the content of the parts differs from the facts."""
    for name in ("objects", "bytes", "documents", "first_key", "last_key", "by_prefix"):
        wanted, found = getattr(facts, name), getattr(tally, name)
        if wanted != found:
            raise BackupDamaged(f"by its parts {name} is {found!r}, by its manifest {wanted!r}")


def _configuration(manifest: Manifest, backup_bucket: ObjectStore, keys: Keys) -> dict[str, str]:
    """Return for each setting whether it is set, none, or unsupported by the store."""
    text = read_decrypted(manifest.part("configuration"), backup_bucket, keys)
    answer = made("its configuration", text, lambda values: dict(values.items()))
    return {name: _state(value) for name, value in answer.items()}


def _state(value: Any) -> str:
    if isinstance(value, dict) and "unsupported" in value:
        return f"unsupported ({value['unsupported']})"
    return "none" if value is None else "set"


def _compared(objects: ObjectStore, drawn: list[ObjectInfo], begun: datetime) -> dict[str, int]:
    """Count the sampled objects that are equal, written since, or gone."""
    now = ahead(lambda entry: objects.head(entry.key), drawn)
    found = [(entry, _verdict(entry, seen, begun)) for entry, seen in zip(drawn, now, strict=True)]
    lasting = [verdict for entry, verdict in found if not entry.key.startswith(TEMP)]
    gone = lasting.count("gone")
    if len(lasting) >= ENOUGH and gone * 2 > len(lasting):
        raise Refused(
            "sample",
            f"{gone} of {len(lasting)} sampled objects outside temp/ are not in the bucket any more. The "
            "backup is complete, and may be the last record of them: find the objects, then prove it again.",
        )
    counts = Counter(verdict for _, verdict in found)
    return {"objects": len(found), **{name: counts[name] for name in ("equal", "written_since", "gone")}}


def _verdict(entry: ObjectInfo, now: ObjectInfo | None, begun: datetime) -> str:
    """Classify a sampled object. Raises NotProven.

    All times are the store's, to the second, so no clocks are compared.
    """
    if now is None:
        return "gone"
    if (now.etag, now.size) == (entry.etag, entry.size):
        return "equal"
    if now.last_modified >= begun:
        return "written_since"
    raise NotProven(
        f"{printable(entry.key)} has {entry.size:,} bytes and etag {entry.etag} in the backup, in the bucket "
        f"{now.size:,} and {now.etag}, and was not written since"
    )

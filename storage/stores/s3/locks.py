"""Object locks: why the store refused to delete an object, asked only of objects that it refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from storage.core.clock import utcnow
from storage.core.deletion import DeleteTarget, Failure, ObjectLock

THREADS = 16
FOREVER = ObjectLock("a legal hold", None)


def explained(
    boto: Any, bucket: str, failures: Sequence[Failure], sent: Sequence[DeleteTarget]
) -> list[Failure]:
    """Return the failures, with the lock of each object that a lock protects.

    An object without versions has no lock. Where the lock cannot be read, the store's own words stay.
    """
    versions: dict[str, Sequence[str]] = {target.key: target.versions for target in sent}
    asked = [f for f in failures if not f.transient and versions.get(f.key)]
    if not asked:
        return list(failures)
    with ThreadPoolExecutor(THREADS) as pool:
        locks = dict(
            zip(asked, pool.map(lambda f: _lock(boto, bucket, f.key, versions[f.key]), asked), strict=True)
        )
    return [replace(failure, lock=locks.get(failure)) for failure in failures]


def _lock(boto: Any, bucket: str, key: str, versions: Sequence[str]) -> ObjectLock | None:
    """Return the lock of these versions that lasts longest; None if none is known."""
    found = [lock for version in versions for lock in _of_version(boto, bucket, key, version)]
    return max(
        found, key=lambda lock: (lock.until is None, lock.until and lock.until.timestamp()), default=None
    )


def _of_version(boto: Any, bucket: str, key: str, version: str) -> Iterator[ObjectLock]:
    place = {"Bucket": bucket, "Key": key, "VersionId": version}
    retention = _answer(boto.get_object_retention, place).get("Retention", {})
    if (until := retention.get("RetainUntilDate")) and until > utcnow():
        yield ObjectLock(f"object lock ({retention.get('Mode', 'mode unknown')})", until)
    if _answer(boto.get_object_legal_hold, place).get("LegalHold", {}).get("Status") == "ON":
        yield FOREVER


def _answer(ask: Any, place: dict[str, str]) -> dict[str, Any]:
    """Return the answer; {} where there is no lock, or no right to ask for it."""
    try:
        answer: dict[str, Any] = ask(**place)
    except (ClientError, BotoCoreError):
        return {}
    return answer

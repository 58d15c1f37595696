"""MinIO with a second MinIO as its remote tier, and the lifecycle rule that moves tagged objects there."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devstack import cold_store
from devstack.objectstore import ObjectStore

TIER = cold_store.TIER
RULE = "storage-platform:tier-cold"


@contextmanager
def second_minio(folder: Path, first: ObjectStore) -> Iterator[ObjectStore]:
    """Start a second MinIO with its bucket, and register it with ``first`` as COLD."""
    cold = cold_store.start(folder, "coldaccesskey", secrets.token_hex(16))
    try:
        cold_store.register(first, cold)
        yield cold
    finally:
        cold.stop()


def rule(tier: str = TIER, value: str = "cold", **changes: Any) -> dict[str, Any]:
    """Return the managed rule: objects tagged ``tier=cold`` move at once."""
    moves = [{"Days": 0, "StorageClass": tier}]
    tagged = {"Tag": {"Key": "tier", "Value": value}}
    return {"ID": RULE, "Status": "Enabled", "Filter": tagged, "Transitions": moves} | changes


def install(boto: Any, bucket: str, *rules: dict[str, Any]) -> None:
    """Replace all of the bucket's rules with these; by default with the managed one."""
    answer = {"Rules": list(rules or (rule(),))}
    boto.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=answer)


def held_by(cold: ObjectStore) -> int:
    """Return the number of objects in the second store."""
    return len(names_in(cold))


def names_in(cold: ObjectStore) -> set[str]:
    """Return the names of the objects in the second store; no name is used twice."""
    found = cold_store.client(cold).list_objects(bucket_name=cold_store.BUCKET, recursive=True)
    return {str(one.object_name) for one in found}

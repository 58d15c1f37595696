"""A MinIO with a second one as its remote tier, and buckets whose tagged objects move there."""

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
    """Running, with its bucket, and known to ``first`` as COLD."""
    cold = cold_store.start(folder, "coldaccesskey", secrets.token_hex(16))
    try:
        cold_store.register(first, cold)
        yield cold
    finally:
        cold.stop()


def rule(tier: str = TIER, value: str = "cold", **changes: Any) -> dict[str, Any]:
    """The managed rule: what is tagged ``tier=cold`` moves at once."""
    moves = [{"Days": 0, "StorageClass": tier}]
    tagged = {"Tag": {"Key": "tier", "Value": value}}
    return {"ID": RULE, "Status": "Enabled", "Filter": tagged, "Transitions": moves} | changes


def install(boto: Any, bucket: str, *rules: dict[str, Any]) -> None:
    """Put these rules in the place of all there are; the managed one where none is named."""
    answer = {"Rules": list(rules or (rule(),))}
    boto.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=answer)


def held_by(cold: ObjectStore) -> int:
    """How many objects the second store holds."""
    return len(names_in(cold))


def names_in(cold: ObjectStore) -> set[str]:
    """What it calls them; no name is given twice."""
    found = cold_store.client(cold).list_objects(bucket_name=cold_store.BUCKET, recursive=True)
    return {str(one.object_name) for one in found}

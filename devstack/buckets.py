"""Creation of the three buckets of a stack."""

from __future__ import annotations

from urllib.parse import urlsplit

from minio import Minio

from devstack.objectstore import ObjectStore

VIDEOS, MAINTENANCE, BACKUPS = "videos", "maintenance", "backups"
BUCKETS = (VIDEOS, MAINTENANCE, BACKUPS)


def client(store: ObjectStore) -> Minio:
    """Return a client with the store's own credentials."""
    address = urlsplit(store.endpoint_url)
    return Minio(
        endpoint=address.netloc,
        access_key=store.access_key,
        secret_key=store.secret_key,
        secure=address.scheme == "https",
        region=store.region,
    )


def ensure_buckets(store: ObjectStore) -> list[str]:
    """Create the buckets that are missing; return the names of those created."""
    connection = client(store)
    missing = [name for name in BUCKETS if not connection.bucket_exists(bucket_name=name)]
    for name in missing:
        connection.make_bucket(bucket_name=name)
    return missing

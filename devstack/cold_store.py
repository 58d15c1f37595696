"""The second MinIO of a stack: the remote tier to which the first one moves cold objects.

It has its own folder, port and keys. It is registered with the first store as a remote tier; a lifecycle rule
of the bucket (`storage lifecycle apply`) selects the objects to move.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from minio import MinioAdmin
from minio.credentials import StaticProvider
from minio.crypto import encrypt
from minio.error import MinioAdminException

from devstack import objectstore
from devstack.buckets import client
from devstack.credentials import Credentials
from devstack.errors import DevstackError
from devstack.objectstore import ObjectStore

TIER, BUCKET = "COLD", "cold"
SETTING = f"cold={TIER}"  # the value of STORAGE_TIERS with this store
_CALL: Any = SimpleNamespace(value="tier")  # the admin client has no name for this call
_KNOWN = "XMinioAdminTierAlreadyExists"


def keys(credentials: Credentials) -> tuple[str, str]:
    """Derive its access key and secret from the stack's credentials."""
    digest = hashlib.sha256(f"cold-store {credentials.secret_key}".encode()).hexdigest()
    return f"cold{digest[:16]}", digest[16:56]


def start(folder: Path, access_key: str, secret_key: str, port: int | None = None) -> ObjectStore:
    """Start the cold store and create its bucket."""
    store = objectstore.start("minio", folder, access_key=access_key, secret_key=secret_key, port=port)
    connection = client(store)
    if not connection.bucket_exists(bucket_name=BUCKET):
        connection.make_bucket(bucket_name=BUCKET)
    return store


def register(first: ObjectStore, cold: ObjectStore, tier: str = TIER, bucket: str = BUCKET) -> bool:
    """Register it with the first store as a remote tier (upper-case name); return False if it already was."""
    where = urlsplit(first.endpoint_url)
    admin = MinioAdmin(
        endpoint=where.netloc,
        credentials=StaticProvider(first.access_key, first.secret_key),
        region=first.region,
        secure=where.scheme == "https",
    )
    payload = encrypt(json.dumps(_described(cold, tier, bucket)).encode(), first.secret_key)
    try:
        admin._url_open(method="PUT", command=_CALL, body=payload)
    except MinioAdminException as refused:
        if _KNOWN in str(refused):
            return False
        raise DevstackError(f"the store refuses {tier} as a remote tier: {refused}") from refused
    return True


def _described(cold: ObjectStore, tier: str, bucket: str) -> dict[str, Any]:
    place = {
        "Name": tier,
        "Endpoint": cold.endpoint_url,
        "AccessKey": cold.access_key,
        "SecretKey": cold.secret_key,
        "Bucket": bucket,
        "Prefix": "",
        "Region": "",
    }
    return {"Version": "v1", "Type": "minio", "Name": tier, "MinIO": place}

"""Least privilege on the real MinIO: the backup writer cannot delete, the pruner cannot write."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from minio import MinioAdmin
from minio.credentials import StaticProvider

from storage import catalog
from storage.backup import manifest as manifests
from storage.backup.connect import backup_endpoint, open_context
from storage.backup.database import backup_database
from storage.backup.errors import BackupDamaged
from storage.backup.prove import prove
from storage.core.deletion import DeleteTarget
from storage.core.errors import AccessDenied
from storage.core.model import ObjectKey
from storage.core.settings import Settings
from storage.engine import sweep
from storage.installation import open_installation
from tests.conftest import Place

POLICIES = Path(__file__).resolve().parents[3] / "docs" / "policies"
ON_MINIO = pytest.mark.parametrize("place", ["minio"], indirect=True)  # ministack has no policies
Keys = Callable[[str], Settings]


@pytest.fixture
def keys(place: Place, tmp_path: Path) -> Iterator[Keys]:
    """Yield a function that makes settings whose backup keys allow exactly what a documented policy says."""
    one = place.settings
    host = one.endpoint_url.removeprefix("http://")
    provider = StaticProvider(one.access_key, one.secret_key)
    admin = MinioAdmin(endpoint=host, credentials=provider, secure=False, region=one.region)
    made: list[str] = []

    def of(policy: str) -> Settings:
        name, user, secret = f"{policy}-{secrets.token_hex(4)}", secrets.token_hex(8), secrets.token_hex(16)
        text = (POLICIES / f"{policy}.json").read_text().replace(":::backups", f":::{one.backup_bucket}")
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(json.loads(text)))
        admin.policy_add(name, str(file))
        admin.user_add(user, secret)
        admin.policy_set(name, user=user)
        made.append(user)
        return replace(one, backup_access_key=user, backup_secret_key=secret)

    yield of
    for user in made:
        admin.user_remove(user)


@ON_MINIO
def test_the_writer_takes_and_proves_and_cannot_delete(place: Place, keys: Keys) -> None:
    settings = keys("backup-writer")
    with open_context(settings) as context:
        id = prove(context, backup_database(context).id).id
        key = ObjectKey(f"database/{id}/manifest.json")
        seen = context.stores.backup_bucket.head(key)
        assert seen
        refused = context.stores.backup_bucket.delete([DeleteTarget(key, seen.etag, seen.versions)])
        assert [one.code for one in refused] == ["AccessDenied"]
        assert manifests.read(id, context.stores.backup_bucket)[0].id == id
        with pytest.raises(AccessDenied):
            context.stores.backup_bucket.create(ObjectKey("elsewhere/x"), b"x")


@ON_MINIO
def test_the_pruner_prunes_and_cannot_write(place: Place, keys: Keys) -> None:
    with open_context(place.settings) as context:
        all_of_them = [prove(context, backup_database(context).id) for _ in range(5)]
        for number, backup in enumerate(all_of_them[:2]):
            long_ago = backup.taken_at - timedelta(days=200, hours=number)
            context.stores.catalogue.save(replace(backup, taken_at=long_ago))
    with open_installation(keys("backup-pruner")) as stores:
        done = sweep.run(catalog.get("cleanup_old_backups"), stores, stores.clock())
        assert done.done.count == 1
        with pytest.raises(AccessDenied):
            stores.backup_bucket.create(ObjectKey("database/x/manifest.json"), b"x")


@ON_MINIO
def test_an_overwritten_backup_is_found_and_its_old_version_is_there(place: Place, keys: Keys) -> None:
    """MinIO's policies cannot forbid overwriting, but a versioned bucket keeps the old version."""
    bucket = place.settings.backup_bucket
    place.boto.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    settings = keys("backup-writer")
    with open_context(settings) as context:
        id = prove(context, backup_database(context).id).id
        key = f"database/{id}/dump.zst"
        good = place.boto.get_object(Bucket=bucket, Key=key)
        thief = backup_endpoint(settings).boto()
        thief.put_object(Bucket=bucket, Key=key, Body=b"ransom")
        with pytest.raises(BackupDamaged, match="bytes, not"):
            prove(context, id)
        old = place.boto.get_object(Bucket=bucket, Key=key, VersionId=good["VersionId"])["Body"].read()
        place.boto.put_object(Bucket=bucket, Key=key, Body=old)
        assert prove(context, id).state == "proven"

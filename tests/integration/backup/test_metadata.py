"""A backup of the bucket's metadata, taken and proven on real stores."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyrage
import pytest

from storage.backup import manifest as manifests
from storage.backup.context import BackupContext
from storage.backup.documents import documents, put_back
from storage.backup.download import write_decrypted
from storage.backup.encryption import seal
from storage.backup.errors import BackupDamaged, ListingDeviates, NoKey, NotProven
from storage.backup.metadata import MOST, backup_minio_metadata
from storage.backup.model import Backup, Manifest
from storage.backup.prove import prove
from storage.core.attributes import Attributes
from storage.core.clock import utcnow
from storage.core.errors import StoreRefused
from storage.core.model import JobId, ObjectKey
from storage.installation import open_installation
from storage.stores.s3.bucket import IDENTITY
from storage.stores.s3.config import NAMES
from tests.conftest import Place
from tests.support.command_line import put_if_taken

KEY = "processed/job-1/metadata.json"
HOSTILE = (
    "a\nb",
    "tab\t\x1b[31m",
    'it\'s "so"',
    "ünï ☃ 日本 🎬",
    "back\\slash",
    "%2F%00&<>;$(rm)",
    " ",
    "a+b",
    "..",
    "../../etc",
    ".",
    "a//b",
    "\u2028",
    "/".join("x" * 200 for _ in range(4)) + "/" + "y" * 196,
)
NO_XML = "processed/tab\t\x1b[31m/metadata.json"  # a bulk delete cannot carry it


@pytest.fixture
def context(place: Place) -> Iterator[BackupContext]:
    with open_installation(place.settings) as stores:
        yield BackupContext(stores=stores, settings=place.settings)


@pytest.fixture
def sealed(context: BackupContext, tmp_path: Path) -> BackupContext:
    """Return ``context`` with encryption of backups and the key to open them."""
    key = pyrage.x25519.Identity.generate()
    (tmp_path / "identity").write_text(f"{key}\n")
    to = {"backup_recipients": str(key.to_public()), "backup_identity_file": str(tmp_path / "identity")}
    return replace(context, settings=replace(context.settings, **to))


def fill(place: Place, count: int) -> None:
    for number in range(count):
        place.put(f"uploads/{number:04}", b"data")


def manifest_of(context: BackupContext, backup: Backup) -> Manifest:
    return manifests.read(backup.id, context.stores.backup_bucket)[0]


def plain(context: BackupContext, manifest: Manifest, name: str) -> bytes:
    sink = io.BytesIO()
    write_decrypted(manifest.part(name), context.stores.backup_bucket, sink, ())
    return sink.getvalue()


def test_taken_and_proven(context: BackupContext, place: Place, add_job: Callable[..., None]) -> None:
    fill(place, 30)
    place.put(KEY, b'{"id": 1}')
    for job in ("job-1", "job-2"):
        add_job(job, "completed", utcnow())
    taken = backup_minio_metadata(context)
    assert (taken.state, taken.items) == ("complete", 32)
    facts = manifest_of(context, taken).metadata
    assert facts.by_prefix == {".maintenance/": (1, 36), "processed/": (1, 9), "uploads/": (30, 120)}
    assert (facts.documents, facts.missing_documents, facts.last_key) == (1, 1, "uploads/0029")
    proven = prove(context, taken.id)
    assert proven.certificate["sample"] == {"objects": 32, "equal": 32, "written_since": 0, "gone": 0}
    assert context.stores.catalogue.newest_proven("metadata", context.stores.clock()) == proven


def test_hostile_keys(context: BackupContext, place: Place, request: pytest.FixtureRequest) -> None:
    """Every key that the store accepts is in the inventory byte for byte, with what the object held."""
    keys = [f"processed/{name}/metadata.json" for name in HOSTILE]
    taken = {key for key in keys if put_if_taken(place, key)}
    request.addfinalizer(lambda: place.boto.delete_object(Bucket=place.settings.bucket, Key=NO_XML))
    assert len(taken) >= 9
    assert max(len(key.encode()) for key in taken) == 1024
    backup = backup_minio_metadata(context, details=True)
    manifest = manifest_of(context, backup)
    lines = [json.loads(line) for line in plain(context, manifest, "objects-00001").splitlines()]
    assert {line["key"] for line in lines} == taken | {str(IDENTITY)}
    assert {one.key for one in documents(manifest, context.stores.backup_bucket, ())} == taken
    assert prove(context, backup.id).certificate["sample"]["equal"] == len(taken) + 1


def test_an_empty_bucket(context: BackupContext, place: Place) -> None:
    place.boto.delete_object(Bucket=place.settings.bucket, Key=IDENTITY)
    taken = backup_minio_metadata(context)
    assert taken.items == 0
    assert prove(context, taken.id).state == "proven"


def test_encrypted(context: BackupContext, sealed: BackupContext, place: Place) -> None:
    place.put(KEY, b"a secret of the pipeline")
    taken = backup_minio_metadata(sealed)
    manifest = manifest_of(sealed, taken)
    assert {part.key.rpartition(".")[2] for part in manifest.parts} == {"age"}
    assert manifest.recipients == (sealed.settings.backup_recipients,)
    with pytest.raises(NoKey):
        prove(context, taken.id)
    assert context.stores.catalogue.get(taken.id).state == "complete"  # type: ignore[union-attr]
    assert prove(sealed, taken.id).certificate["documents"] == 1
    place.boto.delete_object(Bucket=place.settings.bucket, Key=KEY)
    assert [one.result for one in put_back(sealed, taken.id, JobId("job-1"))] == ["created"]


def test_a_deviating_listing(context: BackupContext, place: Place) -> None:
    fill(place, 100)
    first = backup_minio_metadata(context)
    to_delete = [{"Key": f"uploads/{number:04}"} for number in range(50)]
    place.boto.delete_objects(Bucket=place.settings.bucket, Delete={"Objects": to_delete})
    with pytest.raises(ListingDeviates, match=f"lists 51 .*{first.id}.* has 101"):
        backup_minio_metadata(context)
    assert [one.state for one in context.stores.catalogue.all("metadata")] == ["failed", "complete"]
    assert [id for id, _, _ in manifests.scan(context.stores.backup_bucket, "metadata")] == [first.id]
    assert backup_minio_metadata(context, accept=True).state == "complete"


def test_changed_since_the_listing(context: BackupContext, place: Place) -> None:
    fill(place, 3)
    place.put(KEY, b"before")
    taken = backup_minio_metadata(context)
    place.put(KEY, b"after")
    place.boto.delete_object(Bucket=place.settings.bucket, Key="uploads/0000")
    certificate = prove(context, taken.id).certificate
    assert certificate["sample"] == {"objects": 5, "equal": 3, "written_since": 1, "gone": 1}
    [document] = documents(manifest_of(context, taken), context.stores.backup_bucket, ())
    assert document.body == b"before"


def test_a_forged_inventory_is_found_by_the_sample(context: BackupContext, place: Place) -> None:
    """Part, manifest and catalogue agree, as after an attack with every credential but the data bucket's."""
    fill(place, 5)
    now = context.stores.objects.server_time()
    while context.stores.objects.server_time() == now:  # times have a resolution of one second
        pass
    taken = backup_minio_metadata(context)
    manifest = manifest_of(context, taken)
    etag = hashlib.md5(b"data").hexdigest().encode()
    forged = plain(context, manifest, "objects-00001").replace(etag, b"0" * 32, 1)
    sink, part = io.BytesIO(), manifest.part("objects-00001")
    seal(io.BytesIO(forged), sink)
    of_part = replace(part, size=len(sink.getvalue()), sha256=hashlib.sha256(sink.getvalue()).hexdigest())
    parts = tuple(of_part if one == part else one for one in manifest.parts)
    text = manifests.encode(replace(manifest, parts=parts))
    bucket = place.settings.backup_bucket
    place.boto.put_object(Bucket=bucket, Key=part.key, Body=sink.getvalue())
    place.boto.put_object(Bucket=bucket, Key=manifest.key, Body=text)
    with pytest.raises(BackupDamaged, match="not the one that was written"):
        prove(context, taken.id)
    context.stores.catalogue.save(replace(taken, manifest_sha256=hashlib.sha256(text).hexdigest()))
    with pytest.raises(NotProven, match="uploads/0000 .* was not written since"):
        prove(context, taken.id)


def test_a_document_is_put_back_as_it_was(context: BackupContext, place: Place) -> None:
    where: dict[str, Any] = {"Bucket": place.settings.bucket, "Key": KEY}
    carried = Attributes("application/json", "gzip", {"sha256": "00ff", "made-by": "pipeline"})
    place.boto.put_object(
        **where,
        Body=b"raw bytes",
        ContentType=carried.content_type,
        ContentEncoding=carried.content_encoding,
        Metadata=carried.metadata,
    )
    taken = backup_minio_metadata(context)
    place.put(KEY, b"other")
    assert [str(one) for one in put_back(context, taken.id, JobId("job-1"))] == [f"kept     {KEY}"]
    place.boto.delete_object(**where)
    assert [one.result for one in put_back(context, taken.id, JobId("job-1"))] == ["created"]
    found = context.stores.objects.document(ObjectKey(KEY), MOST)
    assert found and (found.body, found.attributes) == (b"raw bytes", carried)
    assert [one.result for one in put_back(context, taken.id, JobId("job-1"), overwrite=True)] == ["equal"]


def test_user_metadata_that_no_header_carries_is_refused(context: BackupContext) -> None:
    carried = Attributes(metadata={"title": "ünï"})
    with pytest.raises(StoreRefused, match="its user metadata is not ASCII"):
        context.stores.objects.create(ObjectKey(KEY), b"", carried)


def test_an_etag_of_parts_is_no_md5(context: BackupContext, place: Place) -> None:
    with context.stores.objects.writer(ObjectKey(KEY)) as sink:
        sink.write(bytes(MOST))
    place.put("processed/job-2/metadata.json")
    taken = backup_minio_metadata(context)
    found = {
        one.key: one.md5 for one in documents(manifest_of(context, taken), context.stores.backup_bucket, ())
    }
    assert found == {KEY: False, "processed/job-2/metadata.json": True}
    assert prove(context, taken.id).state == "proven"


def test_the_configuration_is_kept(context: BackupContext, place: Place) -> None:
    bucket = place.settings.bucket
    rule = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "temp/"}, "Expiration": {"Days": 3}}
    place.boto.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    place.boto.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "team", "Value": "video"}]})
    place.boto.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    taken = backup_minio_metadata(context)
    answer = json.loads(plain(context, manifest_of(context, taken), "configuration"))
    assert sorted(answer) == sorted(NAMES)
    assert answer["versioning"] == "Enabled"
    assert answer["tags"] == [{"Key": "team", "Value": "video"}]
    assert [one["Expiration"] for one in answer["lifecycle"]] == [{"Days": 3}]
    assert answer["policy"] is None
    certificate = prove(context, taken.id).certificate
    assert certificate["configuration"]["lifecycle"] == "set"
    assert certificate["configuration"]["policy"] == "none"


def test_details(context: BackupContext, place: Place) -> None:
    place.boto.put_object(
        Bucket=place.settings.bucket,
        Key="uploads/a",
        Body=b"x",
        ContentType="video/mp4",
        Metadata={"codec": "h264"},
        Tagging="tier=cold",
    )
    manifest = manifest_of(context, backup_minio_metadata(context, details=True))
    line = json.loads(plain(context, manifest, "objects-00001").splitlines()[-1])
    assert (line["content_type"], line["metadata"]) == ("video/mp4", {"codec": "h264"})
    assert line["tags"] == {"tier": "cold"}

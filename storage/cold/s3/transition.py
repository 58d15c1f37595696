"""Move objects between tiers on S3."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

from botocore.exceptions import ClientError

from storage.cold.model import Details
from storage.cold.s3.replace import S3ObjectReplacer, words
from storage.core.capabilities import Capabilities
from storage.core.errors import StorageError, StoreRefused
from storage.core.model import ObjectKey
from storage.core.records import UploadJournal
from storage.core.tiers import TIER_TAG
from storage.stores.s3.bucket import S3Bucket
from storage.stores.s3.client import translated

LARGEST = 5 << 30  # bytes that one request can copy
PART = 1 << 30  # bytes per part of a larger object: 5 TiB stay below 10,000 parts
_NO_RULES = {"NoSuchLifecycleConfiguration", "NotImplemented", "MethodNotAllowed"}


class S3TierStore:
    """Adapter for :class:`storage.cold.ports.TierStore` on an S3 endpoint.

    ``capabilities`` returns what the probe proved; ``uploads`` records the multipart uploads.
    """

    def __init__(
        self,
        bucket: S3Bucket,
        capabilities: Callable[[], Capabilities] = Capabilities,
        uploads: UploadJournal | None = None,
    ) -> None:
        self._bucket, self._capabilities, self._uploads = bucket, capabilities, uploads
        self._looks = S3ObjectReplacer(
            bucket, counts_tags=lambda: capabilities().counts_tags is True, frugal=False
        )

    def details(self, key: ObjectKey) -> Details:
        return self._looks.details(key)

    def tags(self, key: ObjectKey) -> dict[str, str]:
        return self._looks.tags(key)

    def put_tags(self, key: ObjectKey, tags: Mapping[str, str]) -> None:
        entries = [{"Key": name, "Value": value} for name, value in tags.items()]
        with self._translated(key):
            self._bucket.boto.put_object_tagging(**self._place(key), Tagging={"TagSet": entries})

    def copy_in_place(
        self,
        seen: Details,
        storage_class: str,
        tags: Mapping[str, str] | None = None,
        *,
        guarded: bool = False,
    ) -> None:
        can = self._capabilities()
        in_parts = guarded and can.conditional_copy is not True and can.conditional_complete is True
        if in_parts or seen.info.size > LARGEST:
            self._copy_parts(seen, storage_class, tags)
        else:
            self._copy_whole(seen, storage_class, tags)

    def _copy_whole(self, seen: Details, storage_class: str, tags: Mapping[str, str] | None) -> None:
        """Copy by one request. Stores that honour If-Match compare the etag again when they write."""
        key, etag = seen.info.key, seen.info.etag
        replaced = {} if tags is None else {"TaggingDirective": "REPLACE", "Tagging": urlencode(tags)}
        with self._translated(key):
            self._bucket.boto.copy_object(
                **self._place(key),
                CopySource=self._place(key),
                CopySourceIfMatch=etag,
                IfMatch=etag,
                StorageClass=storage_class,
                MetadataDirective="COPY",
                **replaced,
            )

    def _copy_parts(self, seen: Details, storage_class: str, tags: Mapping[str, str] | None) -> None:
        """Copy by a multipart upload, which carries nothing over: all of the object's attributes are sent."""
        key, boto = seen.info.key, self._bucket.boto
        borne = self.tags(key) if tags is None and seen.tag_count != 0 else tags
        carried = words(seen, seen.attributes, borne or {}) | {"StorageClass": storage_class}
        with self._translated(key):
            made = boto.create_multipart_upload(**self._place(key), **carried)
            upload = self._place(key) | {"UploadId": made["UploadId"]}
        if self._uploads:
            self._uploads.record(key, made["UploadId"])  # some stores do not list it: keep its id
        try:
            with self._translated(key):
                parts = [self._copy_part(seen, upload, *part) for part in enumerate(_ranges(seen), 1)]
                done = {"MultipartUpload": {"Parts": parts}, "IfMatch": seen.info.etag}
                boto.complete_multipart_upload(**upload, **done)
        except BaseException:
            with suppress(StorageError), self._translated(key):  # the cause must not be masked
                boto.abort_multipart_upload(**upload)
                self._ended(made["UploadId"])
            raise
        self._ended(made["UploadId"])

    def _ended(self, upload_id: str) -> None:
        if self._uploads:
            self._uploads.close(upload_id)

    def _copy_part(self, seen: Details, upload: dict[str, str], number: int, span: str) -> dict[str, Any]:
        answer = self._bucket.boto.upload_part_copy(
            **upload,
            PartNumber=number,
            CopySource=self._place(seen.info.key),
            CopySourceIfMatch=seen.info.etag,
            **({"CopySourceRange": span} if span else {}),
        )
        return {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}

    def request_restore(self, key: ObjectKey, days: int) -> None:
        """Request the restore; a restore already in progress is not an error."""
        try:
            with self._translated(key):
                self._bucket.boto.restore_object(**self._place(key), RestoreRequest={"Days": days})
        except StoreRefused as error:
            if _code(error) != "RestoreAlreadyInProgress":
                raise

    def rules(self) -> Mapping[str, str]:
        try:
            with translated(self._bucket.bucket):
                answer = self._bucket.boto.get_bucket_lifecycle_configuration(Bucket=self._bucket.bucket)
        except StoreRefused as error:
            if _code(error) in _NO_RULES:
                return {}
            raise
        return {value: tier for rule in answer.get("Rules", ()) for value, tier in _moves(rule)}

    def _place(self, key: ObjectKey) -> dict[str, str]:
        return {"Bucket": str(self._bucket.bucket), "Key": str(key)}

    def _translated(self, key: ObjectKey) -> Any:
        return translated(self._bucket.bucket, key)


def _ranges(seen: Details) -> Iterator[str]:
    """Yield the byte ranges of the parts; "" for the whole object."""
    size = seen.info.size
    if size <= min(PART, LARGEST):
        yield ""
        return
    for start in range(0, size, PART):
        yield f"bytes={start}-{min(start + PART, size) - 1}"


def _moves(rule: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield tag value and target if the rule moves, without delay, exactly the objects with the tier tag."""
    chosen = dict(rule.get("Filter", {}))
    both = chosen.pop("And", {})
    tags = [*both.pop("Tags", ()), *filter(None, [chosen.pop("Tag", None)])]
    prefix = both.pop("Prefix", "") or chosen.pop("Prefix", "") or rule.get("Prefix", "")
    others = {name for name, value in (both | chosen).items() if value}
    if rule.get("Status") != "Enabled" or len(tags) != 1 or others or not "processed/".startswith(prefix):
        return
    for move in rule.get("Transitions", ()):
        # MinIO omits Days if it is 0.
        if tags[0]["Key"] == TIER_TAG and not move.get("Days") and "Date" not in move:
            yield tags[0]["Value"], move.get("StorageClass", "")


def _code(error: StorageError) -> str:
    cause = error.__cause__
    return str(cause.response.get("Error", {}).get("Code", "")) if isinstance(cause, ClientError) else ""

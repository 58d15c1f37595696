"""In-memory lifecycle configuration and its versions, as observed on MinIO and ministack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal
from xml.sax.saxutils import escape

from storage.core.errors import StoreRefused
from storage.core.model import BucketName
from storage.lifecycle.document import Node, read
from storage.lifecycle.ports import Version
from storage.testing.traffic import Traffic

Dialect = Literal["minio", "ministack", "exact"]
#: Elements of a rule that a store keeps; all others are dropped silently.
_KEPT = {
    "ID", "Status", "Filter", "And", "Prefix", "Tag", "Key", "Value", "ObjectSizeGreaterThan", "Date",
    "ObjectSizeLessThan", "Expiration", "Days", "ExpiredObjectDeleteMarker", "Transition", "StorageClass",
    "NoncurrentVersionExpiration", "NoncurrentDays", "NewerNoncurrentVersions", "NoncurrentVersionTransition",
    "AbortIncompleteMultipartUpload", "DaysAfterInitiation",
}  # fmt: skip
_ABORT = "AbortIncompleteMultipartUpload"
_NO_DAYS = ("Days", "0")  # of a transition: MinIO omits this from its response
_FIRST = ("ID", "Status", "Filter")  # the order in MinIO's response
_CLASSES = ("STANDARD_IA", "GLACIER", "GLACIER_IR", "DEEP_ARCHIVE", "ONEZONE_IA", "INTELLIGENT_TIERING")


class MemoryBucketRules:
    """In-memory BucketRules. ``tiers`` are the registered remote tiers of a MinIO.

    The dialect ``exact`` accepts any document and keeps it byte for byte, as AWS nearly does.
    ``traffic`` counts requests and lets a test intervene; ``loses`` names elements the store drops.
    """

    def __init__(
        self,
        dialect: Dialect = "minio",
        *,
        tiers: Sequence[str] = (),
        keeps_versions: bool = False,
        loses: Sequence[str] = (),
    ) -> None:
        self.bucket, self.dialect, self.tiers = BucketName("videos"), dialect, tiers
        self.keeps_versions, self.loses = keeps_versions, loses
        self.document: bytes | None = None
        self.puts: list[bytes] = []
        self.traffic = Traffic()

    def get(self) -> bytes | None:
        self.traffic("get")
        return self.document

    def put(self, document: bytes) -> None:
        self.traffic("put")
        rules = [piece.node for piece in read(document).rules if piece.node is not None]
        if self.dialect != "exact" and (why := self._refuses(rules)):
            raise StoreRefused(self.bucket, why)
        inner = "".join(self._kept(rule) for rule in rules)
        self.puts.append(document)
        kept = f"<LifecycleConfiguration>{inner}</LifecycleConfiguration>".encode()
        self.document = document if self.dialect == "exact" else kept
        self.traffic("put done")

    def clear(self) -> None:
        self.traffic("clear")
        self.document = None

    def versioned(self) -> bool:
        return self.keeps_versions

    def _refuses(self, rules: Sequence[Node]) -> str:
        if not rules and self.dialect == "minio":
            return "InvalidArgument: Lifecycle configuration should have at least one rule"
        ids = [node.text for rule in rules for node in rule.all("ID")]
        if self.dialect == "minio" and len(ids) != len(set(ids)):
            return "InvalidArgument: Rule ID must be unique"
        return next(filter(None, map(self._refuses_rule, rules)), "")

    def _refuses_rule(self, rule: Node) -> str:
        acts = [node.name for node in rule.children if node.name not in (*_FIRST, "Prefix")]
        if self.dialect == "minio" and not set(acts) & (_KEPT - {_ABORT}):
            return "InvalidArgument: The XML you provided was not well-formed"
        for act in rule.all("Expiration"):
            days = [child.text for child in act.all("Days")]
            if days == ["0"] or (not act.children and self.dialect == "minio"):
                return "InvalidArgument: Days must be a positive integer"
        targets = [child.text for act in rule.all("Transition") for child in act.all("StorageClass")]
        known = self.tiers if self.dialect == "minio" else _CLASSES
        return "InvalidStorageClass: Invalid storage class." if set(targets) - set(known) else ""

    def _kept(self, node: Node) -> str:
        if node.name != "Rule" and (
            node.name not in _KEPT
            or node.name in self.loses
            or (self.dialect == "minio" and (node.name == _ABORT or (node.name, node.text) == _NO_DAYS))
        ):
            return ""
        inner = "".join(self._kept(child) for child in sorted(node.children, key=_place))
        return f"<{node.name}>{inner or escape(node.text)}</{node.name}>"


def _place(node: Node) -> int:
    return _FIRST.index(node.name) if node.name in _FIRST else len(_FIRST)


class MemoryVersions:
    """In-memory VersionLog."""

    def __init__(self) -> None:
        self.rows: list[Version] = []

    def add(self, version: Version) -> int:
        self.rows.append(replace(version, number=len(self.rows) + 1))
        return len(self.rows)

    def end(self, version: Version) -> None:
        row = self.rows[version.number - 1]
        self.rows[version.number - 1] = replace(
            row,
            state=version.state,
            document=version.document,
            sha256=version.sha256,
            left_out=version.left_out,
            note=version.note,
        )

    def get(self, number: int) -> Version | None:
        return self.rows[number - 1] if 0 < number <= len(self.rows) else None

    def all(self, limit: int = 100) -> Sequence[Version]:
        return self.rows[::-1][:limit]

    def latest(self) -> Version | None:
        return next((row for row in self.rows[::-1] if row.state in ("begun", "applied")), None)

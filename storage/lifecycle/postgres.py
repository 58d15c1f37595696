"""Version log of a bucket's lifecycle configuration, in the schema ``maintenance``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine

from storage.core.model import BucketName
from storage.lifecycle.ports import LeftOut, Version
from storage.stores.postgres.connection import Statements, as_json


class PostgresVersions:
    """Adapter for :class:`storage.lifecycle.ports.VersionLog` on PostgreSQL."""

    def __init__(self, engine: Engine, bucket: BucketName) -> None:
        self._sql, self._bucket = Statements(engine, "lifecycle"), str(bucket)

    def add(self, version: Version) -> int:
        values = _values(version) | {"plan_sha256": version.plan_sha256, "by": version.by}
        rows = self._sql.rows("add", bucket=self._bucket, requested=list(version.requested), **values)
        return int(rows[0]["number"])

    def end(self, version: Version) -> None:
        self._sql.rows("end", bucket=self._bucket, number=version.number, **_values(version))

    def get(self, number: int) -> Version | None:
        return _one(self._sql.rows("get", bucket=self._bucket, number=number))

    def all(self, limit: int = 100) -> Sequence[Version]:
        return [_version(row) for row in self._sql.rows("all", bucket=self._bucket, limit=limit)]

    def latest(self) -> Version | None:
        return _one(self._sql.rows("latest", bucket=self._bucket))


def _values(version: Version) -> dict[str, Any]:
    left_out = {id: [one.why, one.form] for id, one in version.left_out.items()}
    return {
        "state": version.state, "document": version.document, "sha256": version.sha256,
        "left_out": as_json(left_out), "note": version.note,
    }  # fmt: skip


def _one(rows: Sequence[Mapping[str, Any]]) -> Version | None:
    return _version(rows[0]) if rows else None


def _version(row: Mapping[str, Any]) -> Version:
    return Version(
        number=row["number"],
        state=row["state"],
        document=bytes(row["document"]),
        sha256=row["sha256"],
        plan_sha256=row["plan_sha256"],
        requested=tuple(row["requested"]),
        left_out={id: LeftOut(*said) for id, said in row["left_out"].items()},
        by=row["by"],
        note=row["note"],
        at=row["at"],
    )

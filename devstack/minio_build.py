"""Build the real MinIO server from its last published source.

The upstream project no longer maintains or patches it: the binary is for loopback and tests only.
"""

from __future__ import annotations

from pathlib import Path

from devstack import go_build
from devstack.cache import cache_folder
from devstack.go_build import MINIO, find_go

SOURCE_VERSION = MINIO.version
NOTICE = MINIO.notice


def built() -> Path | None:
    """Return the MinIO that was built earlier, or None."""
    return go_build.built(MINIO)


def build() -> Path:
    """Build MinIO unless it is cached; return its path."""
    return go_build.build(MINIO)


__all__ = ["NOTICE", "SOURCE_VERSION", "build", "built", "cache_folder", "find_go"]

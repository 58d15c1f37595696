"""Listings through a proxy that changes them: no object is missed, or the job refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from devstack.objectstore import ObjectStore
from storage import connect
from storage.backup.connect import open_context
from storage.backup.metadata import backup_minio_metadata
from storage.backup.prove import prove
from storage.core.errors import ListingBroken, StorageError, TransientFault
from storage.core.model import Prefix
from storage.installation import open_installation
from tests.conftest import Place, needed, new_place, replace, without_backups
from tests.support.proxy import Change, proxy

KEYS = [f"temp/j/{number:04}" for number in range(1501)]
Through = Callable[[Change], AbstractContextManager[Place]]


@pytest.fixture
def through(store_server: Callable[[str], ObjectStore], database_url: str, tmp_path: Path) -> Through:
    """Fill a bucket with KEYS and reach it through a proxy that changes its listings."""

    @contextmanager
    def start(change: Change) -> Iterator[Place]:
        def listings(path: str, body: bytes) -> bytes:
            return change(path, body) if "list-type" in _query(path) and on else body

        server, on = needed("ministack", store_server), False
        with proxy(server.endpoint_url, change=listings) as address:
            direct = new_place(server, database_url, tmp_path)
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(direct.put, KEYS))
            made = replace(direct, settings=replace(direct.settings, endpoint_url=address))
            connect.set_up(made.settings)
            without_backups(made.settings)
            on = True
            yield made

    return start


def _query(path: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(path).query, True).items()}


class EmptyPageFirst:
    """Filter that answers each request for a second page with an empty page and a token for the real one."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def __call__(self, path: str, body: bytes) -> bytes:
        query = _query(path)
        if token := query.get("continuation-token"):
            return self.held[token]
        if "start-after" not in query:
            return body
        token = json.dumps([query["prefix"], query["start-after"]])
        self.held[token] = body
        return (
            "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
            f"<NextContinuationToken>{token}</NextContinuationToken></ListBucketResult>"
        ).encode()


def test_a_metadata_backup_has_what_lies_behind_an_empty_page(through: Through) -> None:
    """It was proven with 1,000 of 1,501 objects."""
    change = EmptyPageFirst()
    with through(change) as place, open_context(place.settings) as context:
        backup = backup_minio_metadata(context)
        assert backup.items >= len(KEYS)
        assert prove(context, backup.id).state == "proven"
    assert change.held


def _same_page(path: str, body: bytes) -> bytes:
    """Cache that ignores where a page should start."""
    return _same_page.first.setdefault(_query(path)["prefix"], body)  # type: ignore[attr-defined]


_same_page.first = {}  # type: ignore[attr-defined]


def _no_prefix(path: str, body: bytes) -> bytes:
    return body.replace(b"temp/j/", b"uploads/j/").replace(b"temp%2Fj%2F", b"uploads%2Fj%2F")


BROKEN: dict[str, tuple[Change, type[StorageError]]] = {
    "cached": (_same_page, ListingBroken),
    "no prefix": (_no_prefix, ListingBroken),
    "cut": (lambda path, body: body[: len(body) // 2], TransientFault),
    "login page": (lambda path, body: b"<html><body>Please log in</body></html>", TransientFault),
}


def test_a_listing_that_cannot_be_relied_on_refuses(through: Through) -> None:
    chosen = ""

    def change(path: str, body: bytes) -> bytes:
        return BROKEN[chosen][0](path, body)

    with through(change) as place, open_installation(place.settings) as stores:
        for chosen in BROKEN:
            with pytest.raises(BROKEN[chosen][1]):
                list(stores.objects.scan(Prefix("temp/")))

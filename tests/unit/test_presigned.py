"""Presigned links: their target, their lifetime, and that signing makes no request."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from storage import presigned
from storage.core.errors import ConfigError, InvalidName, UsageError
from storage.core.model import ObjectKey
from storage.core.settings import Settings
from storage.presigned import FILES, PresignedURLGenerator

UNREACHABLE = "http://files.invalid:9"  # no server answers there: a request would fail


@pytest.fixture
def noted() -> list[ObjectKey]:
    return []


@pytest.fixture
def links(noted: list[ObjectKey]) -> PresignedURLGenerator:
    return presigned.links(settings(UNREACHABLE), noted.append)


def settings(public: str) -> Settings:
    return Settings(
        endpoint_url="http://store.invalid:9",
        access_key="someaccesskey",
        secret_key="somesecretkey",
        database_url="postgresql://nobody@nowhere.invalid/none",
        public_endpoint_url=public,
    )


@pytest.mark.parametrize("file_type", FILES)
def test_each_file_type_leads_to_its_key(
    links: PresignedURLGenerator, noted: list[ObjectKey], file_type: str
) -> None:
    url = urlsplit(links.generate_download_url("job-1", file_type))
    assert (url.netloc, url.path) == ("files.invalid:9", f"/videos/processed/job-1/{FILES[file_type]}")
    assert parse_qs(url.query)["X-Amz-Expires"] == ["3600"]
    assert noted == [f"processed/job-1/{FILES[file_type]}"]


def test_a_key_is_signed_as_it_is(links: PresignedURLGenerator) -> None:
    key = "processed/j/ä b+c%&#?.txt"
    assert unquote(urlsplit(links.url(ObjectKey(key))).path) == f"/videos/{key}"


def test_what_is_not_there_to_be_had(links: PresignedURLGenerator, noted: list[ObjectKey]) -> None:
    with pytest.raises(ValueError, match="Invalid file_type: 4k. It may be 360p"):
        links.generate_download_url("job-1", "4k")
    with pytest.raises(InvalidName):
        links.generate_download_url("../job-1", "360p")
    for expires in (timedelta(0), timedelta(days=8), timedelta(seconds=-1)):
        with pytest.raises(UsageError, match="for 1 s to 7 days"):
            links.generate_download_url("job-1", "360p", expires)
    assert noted == []


@pytest.mark.parametrize("url", ["files.example.org", "ftp://x", "https://x/folder"])
def test_an_address_that_nobody_can_open(url: str) -> None:
    with pytest.raises(ConfigError, match="STORAGE_PUBLIC_ENDPOINT_URL"):
        presigned.links(settings(url))


def test_without_a_public_address_it_is_the_store_s_own() -> None:
    assert "store.invalid:9" in presigned.links(settings("")).url(ObjectKey("k"))

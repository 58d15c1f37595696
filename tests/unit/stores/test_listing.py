"""Listing pages as stores and proxies really send them: progress, or a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import pytest

from storage.core.errors import ListingBroken, TransientFault
from storage.core.model import Page
from storage.stores.s3 import listing
from storage.stores.s3.listing import Listing

DATE = "<LastModified>2026-03-01T12:00:00Z</LastModified><ETag>e</ETag><Size>1</Size>"


class Store:
    """Answers listing requests with prepared bodies, and keeps the queries."""

    def __init__(self, *bodies: str) -> None:
        self.bodies, self.queries = list(bodies), list[dict[str, str]]()

    def __call__(self, query: dict[str, str]) -> bytes:
        self.queries.append(query)
        return (self.bodies.pop(0) if len(self.bodies) > 1 else self.bodies[0]).encode()


def body(keys: Sequence[str] = (), token: str = "", more: bool | None = None) -> str:
    entries = "".join(f"<Contents><Key>{quote(key)}</Key>{DATE}</Contents>" for key in keys)
    truncated = str(bool(token) if more is None else more).lower()
    following = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    return (
        f"<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>{truncated}</IsTruncated>"
        f"{following}{entries}</ListBucketResult>"
    )


def version_body(versions: Sequence[tuple[str, str]], markers: tuple[str, str] | None = None) -> str:
    """Build a page of versions ``(key, id)``, the first of each key the latest, and its next markers."""
    seen: set[str] = set()
    entries = ""
    for key, id in versions:
        latest = str(key not in seen).lower()
        seen.add(key)
        flags = f"<VersionId>{id}</VersionId><IsLatest>{latest}</IsLatest>"
        entries += f"<Version><Key>{key}</Key>{flags}{DATE}</Version>"
    following = ""
    if markers:
        key, id = markers
        following = f"<NextKeyMarker>{key}</NextKeyMarker><NextVersionIdMarker>{id}</NextVersionIdMarker>"
    truncated = str(markers is not None).lower()
    return (
        f"<ListVersionsResult><IsTruncated>{truncated}</IsTruncated>{following}{entries}</ListVersionsResult>"
    )


def page_of(store: Store, prefix: str = "temp/", start_after: str = "") -> Page:
    return Listing("videos", store).page(prefix, start_after, 1000)


def keys(page: Page) -> list[str]:
    return [info.key for info in page.objects]


def test_truncated_pages_without_entries_are_followed() -> None:
    """A filtering proxy sends them; taken as the end, the rest of the bucket would not exist."""
    store = Store(body(token="one"), body(token="two"), body(["temp/a", "temp/b"], "three"))
    page = page_of(store)
    assert (keys(page), page.more) == (["temp/a", "temp/b"], True)
    assert [query.get("continuation-token") for query in store.queries] == [None, "one", "two"]


def test_an_empty_last_page_ends_the_listing() -> None:
    assert page_of(Store(body(token="one"), body())) == Page((), False)


def test_the_key_that_a_page_starts_after_is_not_listed_again() -> None:
    """Versitygw includes it; alone on a page, it must not look like progress."""
    assert keys(page_of(Store(body(["temp/a", "temp/b"])), start_after="temp/a")) == ["temp/b"]
    store = Store(body(["temp/a"], "one"), body(["temp/b"]))
    assert keys(page_of(store, start_after="temp/a")) == ["temp/b"]


def test_a_cursor_sent_twice_is_refused() -> None:
    with pytest.raises(ListingBroken, match="sent the cursor .*'same'.* twice"):
        page_of(Store(body(token="same")))


def test_cursors_that_never_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_PAGES", 5)
    with pytest.raises(ListingBroken, match="5 pages in a row"):
        page_of(Store(*(body(token=str(number)) for number in range(9))))


def test_more_without_a_cursor_is_refused() -> None:
    with pytest.raises(ListingBroken, match="not where"):
        page_of(Store(body(more=True)))


def test_keys_outside_the_prefix_are_refused() -> None:
    """A proxy that drops the query would have every object of the bucket judged as a temporary one."""
    with pytest.raises(ListingBroken, match="'uploads/j/in.mp4' was listed under 'temp/'"):
        page_of(Store(body(["temp/a", "uploads/j/in.mp4"])))


@pytest.mark.parametrize("listed", [["temp/b", "temp/a"], ["temp/a", "temp/c", "temp/b"], ["temp/a"] * 2])
def test_another_order_is_refused(listed: list[str]) -> None:
    """The next page starts after the last key: what sorts before it would be skipped."""
    with pytest.raises(ListingBroken, match="was listed after"):
        page_of(Store(body(listed)))


def test_a_page_that_begins_before_its_start_is_refused() -> None:
    """A gateway that walks folders lists a/x before a-b: what sorts lower would never be seen."""
    with pytest.raises(ListingBroken, match="'temp/a-b' was listed after 'temp/a/x'"):
        page_of(Store(body(["temp/a-b", "temp/b"])), start_after="temp/a/x")


@pytest.mark.parametrize(
    "answer",
    [
        "",
        body(["temp/a"])[:-30],
        "<html><body>Bad gateway</body></html>",
        "<Error><Code>SlowDown</Code></Error>",
        body(["temp/a"]).replace("<Size>1</Size>", ""),
        body(["temp/a"]).replace("<Size>1</Size>", "<Size>one</Size>"),
        body(["temp/a"]).replace("2026-03-01T12:00:00Z", "yesterday"),
    ],
)
def test_a_body_that_is_no_listing_is_no_empty_listing(answer: str) -> None:
    with pytest.raises(TransientFault, match="cut short or is no listing"):
        page_of(Store(answer))


# --- versions ----------------------------------------------------------------------------------------


def versions_of(store: Store, start_after: str = "") -> Page:
    return Listing("videos", store).version_page("temp/", start_after, 1000)


def test_versions_of_a_key_over_several_pages_are_one_object() -> None:
    store = Store(
        version_body([("temp/a", "3"), ("temp/a", "2")], ("temp/a", "2")),
        version_body([("temp/a", "2"), ("temp/a", "1")], ("temp/a", "1")),  # "2" again, as versitygw does
        version_body([("temp/b", "1")]),
    )
    page = versions_of(store)
    assert [(info.key, info.versions) for info in page.objects] == [
        ("temp/a", ("3", "2", "1")),
        ("temp/b", ("1",)),
    ]


def test_a_key_marker_that_is_included_ends_all_the_same() -> None:
    """On versitygw a listing after temp/a begins with temp/a: it was listed for ever."""
    full = version_body([("temp/a", "1"), ("temp/b", "2")], ("temp/b", "2"))
    store = Store(full, version_body([("temp/b", "1")]))
    page = versions_of(store, start_after="temp/a")
    assert [(info.key, info.versions) for info in page.objects] == [("temp/b", ("2", "1"))]


def test_markers_sent_twice_are_refused() -> None:
    with pytest.raises(ListingBroken, match="twice"):
        versions_of(Store(version_body([("temp/a", "1")], ("temp/a", "1"))))

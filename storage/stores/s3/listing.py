"""Listing pages of a bucket. Every page makes progress, or the listing is refused.

Some stores and proxies send truncated pages without entries, repeat the key that a page should start after,
or end a page between two versions of a key. A plan needs every object exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TypeVar
from xml.etree.ElementTree import ParseError

from storage.core.errors import ListingBroken, TransientFault
from storage.core.model import ObjectInfo, Page
from storage.stores.s3 import xml
from storage.stores.s3.xml import Response, Version

MOST_PAGES = 10_000  # requests for one page of new keys; a page of versions holds 1,000 of them
Send = Callable[[dict[str, str]], bytes]
Entry = TypeVar("Entry", ObjectInfo, Version)


class Listing:
    """Reader of a bucket's listing pages; ``send`` sends a query and returns the body of the response.

    A page holds keys after ``start_after``, in key order, and is empty only at the end of the listing.
    Raises ListingBroken if the store repeats itself or leaves prefix or key order, TransientFault for a body
    that is no listing.
    """

    def __init__(self, bucket: str, send: Send) -> None:
        self._bucket, self._send = bucket, send

    def page(self, prefix: str, start_after: str, limit: int) -> Page:
        """Read a page of ListObjectsV2."""
        query = _query(prefix, limit) | {"list-type": "2"}
        cursor = {"start-after": start_after} if start_after else {}
        for response in self._responses(xml.page, query, cursor):
            self._check(prefix, start_after, [info.key for info in response.entries])
            found = [info for info in response.entries if info.key != start_after]
            if found or not response.more:
                return Page(tuple(found), response.more)
        raise AssertionError("a listing ends with a page or an error")

    def version_page(self, prefix: str, start_after: str, limit: int) -> Page:
        """Read ListObjectVersions until one object is complete: a key's versions may fill several pages."""
        query = _query(prefix, limit) | {"versions": ""}
        cursor = {"key-marker": start_after} if start_after else {}
        entries: list[Version] = []
        for response in self._responses(xml.versions, query, cursor):
            # Sorted, because a store may list delete markers after the versions of a page.
            self._check(prefix, start_after, sorted({entry.info.key for entry in response.entries}))
            entries += [entry for entry in response.entries if entry.info.key != start_after]
            last = max((entry.info.key for entry in entries), default=None) if response.more else None
            found = xml.current(entry for entry in entries if entry.info.key != last)
            if found or not response.more:
                return Page(tuple(found), response.more)
            entries = [entry for entry in entries if entry.info.key == last]
        raise AssertionError("a listing ends with a page or an error")

    def _responses(
        self, parse: Callable[[bytes], Response[Entry]], query: dict[str, str], cursor: dict[str, str]
    ) -> Iterator[Response[Entry]]:
        """Yield responses, each continued at the cursor that the store returned with the one before."""
        seen: set[frozenset[tuple[str, str]]] = set()
        for _ in range(MOST_PAGES):
            response = self._parsed(parse, query | cursor)
            yield response
            cursor = response.cursor
            if not cursor:
                raise ListingBroken(self._bucket, "a page says that more follows, but not where")
            if (mark := frozenset(cursor.items())) in seen:
                raise ListingBroken(self._bucket, f"the store sent the cursor {cursor} twice")
            seen.add(mark)
        raise ListingBroken(self._bucket, f"{MOST_PAGES:,} pages in a row brought no new key")

    def _parsed(self, parse: Callable[[bytes], Response[Entry]], query: dict[str, str]) -> Response[Entry]:
        body = self._send(query)
        try:
            return parse(body)
        except (ParseError, KeyError, ValueError) as error:
            raise TransientFault("The object store", "its listing was cut short or is no listing") from error

    def _check(self, prefix: str, start_after: str, keys: Sequence[str]) -> None:
        """Refuse keys outside the prefix, which no rule for the prefix may judge, and any other order.

        The key that the page should start after may be listed again, for some stores include it.
        """
        if keys and keys[0] < start_after:
            raise ListingBroken(self._bucket, f"{keys[0]!r} was listed after {start_after!r}")
        if stray := next((key for key in keys if not key.startswith(prefix)), None):
            raise ListingBroken(self._bucket, f"{stray!r} was listed under {prefix!r}")
        if pair := next((pair for pair in pairwise(keys) if pair[0] >= pair[1]), None):
            raise ListingBroken(self._bucket, f"{pair[1]!r} was listed after {pair[0]!r}")


def _query(prefix: str, limit: int) -> dict[str, str]:
    return {"prefix": prefix, "encoding-type": "url", "max-keys": str(limit)}

"""Where a store is known to break a promise of a port, and why. A deviation that ends fails its test."""

from __future__ import annotations

import pytest

_CLEANED = "paths are cleaned: the key is stored under another name; it is never listed, so never planned"
_INCLUSIVE = "a listing after a key begins with that key, so pages of one key never end: ListingBroken"
_MARKER = "a conditional put is accepted where the latest version of the key is a delete marker"
_REVIVED = "a part in flight revives an upload that was aborted"
_KEPT = {
    f"test_key_is_kept_byte_for_byte_or_refused[{name}]": _CLEANED for name in ("double-slash", "up", "dot")
}
_ALIKE = {f"test_delete_leaves_the_look_alike[{name}]": _CLEANED for name in ("a//b-a/b", "x/../a-a")}
_GONE = {
    f"test_delete_of_a_hostile_key_takes_exactly_it[{name}]": _CLEANED
    for name in ("double-slash", "up", "dot")
}
_PAGES = {
    f"test_page_from_anywhere[{name}]": _INCLUSIVE for name in ("b-1", "folder-1", "before-1", "long-1")
}
_BACK = {f"test_an_object_deleted_meanwhile_stays_deleted[{size}]": _MARKER for size in (9, 12 << 20)}
#: By kind of store, and by the name of the test without that kind.
KNOWN: dict[str, dict[str, str]] = {
    "versitygw": {**_KEPT, **_ALIKE, **_GONE, **_PAGES, **_BACK},
    "versitygw_plain": {**_KEPT, **_ALIKE},
}
#: The same, where it depends on timing whether the deviation shows.
SOMETIMES: dict[str, dict[str, str]] = dict.fromkeys(
    ("versitygw", "versitygw_plain"), {"test_an_upload_that_somebody_ended_is_no_object": _REVIVED}
)


def expect(request: pytest.FixtureRequest, kind: str) -> None:
    """Mark the requesting test as failing if this is known of the store."""
    name = request.node.name.replace(f"{kind}-", "", 1).replace(f"-{kind}]", "]").removesuffix(f"[{kind}]")
    for table, strict in ((KNOWN, True), (SOMETIMES, False)):
        if reason := table.get(kind, {}).get(name):
            request.applymarker(pytest.mark.xfail(strict=strict, reason=reason))

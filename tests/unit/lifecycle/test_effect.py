"""The effect of lifecycle rules: the objects that they would act on, tonight and later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.core.model import ObjectInfo, ObjectKey, Totals, UploadInfo
from storage.lifecycle.document import OURS
from storage.lifecycle.plan import effects, table
from storage.lifecycle.rules import Act, due
from tests.support.in_memory import DAY
from tests.support.lifecycle_in_memory import BY_NAME, ours

NOON = datetime(2026, 3, 8, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "days", "expected"),
    [
        (datetime(2026, 3, 1, 10, tzinfo=UTC), 1, datetime(2026, 3, 3, tzinfo=UTC)),
        (datetime(2026, 3, 1, tzinfo=UTC), 1, datetime(2026, 3, 3, tzinfo=UTC)),
        (datetime(2026, 3, 1, 23, 59, tzinfo=UTC), 7, datetime(2026, 3, 9, tzinfo=UTC)),
        (datetime(2026, 3, 1, 10, tzinfo=UTC), 0, datetime(2026, 3, 1, 10, tzinfo=UTC)),
    ],
)
def test_days_end_at_midnight(written: datetime, days: int, expected: datetime) -> None:
    assert due(written, days) == expected


def info(
    key: str, age: timedelta, size: int = 10, storage_class: str = "STANDARD", versions: int = 0
) -> ObjectInfo:
    ids = tuple(map(str, range(versions)))
    return ObjectInfo(ObjectKey(key), size, NOON - age, "e", storage_class, ids)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200 * 86400), st.integers(0, 9)), max_size=20), st.integers(1, 120))
def test_the_effect_is_what_is_due(things: list[tuple[int, int]], days: int) -> None:
    listing = [info(f"temp/{n}", timedelta(seconds=age), size) for n, (age, size) in enumerate(things)]
    (found,) = effects([ours("x", Act("expire", days), "temp/")], listing, [], NOON)
    tonight = NOON.replace(hour=0) + DAY
    for ahead, hit in zip((0, 30, 90), found.hits, strict=True):
        due_then = [one for one in listing if due(one.last_modified, days) <= tonight + ahead * DAY]
        assert hit == Totals(len(due_then), sum(one.size for one in due_then))


def test_the_effect_of_each_kind_of_rule() -> None:
    listing = [
        info("temp/old", 3 * DAY, 100),
        info("temp/new", DAY / 2, 7),
        info("temperature/old", 300 * DAY, 1000),
        info("processed/a/raw/x", 100 * DAY, 50, versions=3),
        info("processed/b/raw/x", 100 * DAY, 50, "GLACIER", versions=1),
    ]
    uploads = [UploadInfo(ObjectKey("temp/u"), "1", NOON - 8 * DAY), UploadInfo(ObjectKey("u"), "2", NOON)]
    rules = [
        BY_NAME["delete-temp-files"],
        BY_NAME["archive-old-jobs"],
        ours("n", Act("noncurrent", 30), "processed/"),
        ours("a", Act("abort", 7)),
        ours("t", Act("transition", 0, "COLD"), tags=frozenset({("tier", "cold")})),
    ]
    found = {one.id.removeprefix(OURS): one for one in effects(rules, iter(listing), iter(uploads), NOON)}
    assert found["delete-temp-files"].hits == (Totals(1, 100), Totals(2, 107), Totals(2, 107))
    assert found["archive-old-jobs"].hits[0] == Totals(1, 50), "what is there already does not move"
    assert found["n"].hits[0] == Totals(2, 0)
    assert found["a"].hits == (Totals(1, 0), Totals(2, 0), Totals(2, 0))
    assert found["t"].hits[0].count == 5
    assert "at most" in found["t"].note
    assert next(table(found.values()))["tonight"] == {"objects": 1, "bytes": 100}


def test_size_bounds_are_exclusive() -> None:
    one = ours("x", Act("expire", 1), "temp/", larger=10, smaller=20)
    listing = [info(f"temp/{size}", 9 * DAY, size) for size in (10, 11, 19, 20)]
    assert effects([one], listing, [], NOON)[0].hits[0] == Totals(2, 30)

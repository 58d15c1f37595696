"""Seeded bugs in moving objects between tiers that the tests must detect."""

from __future__ import annotations

from tests.faults.cleanup.bugs import Bug

_TIERING = "storage/cold/tiering.py"
_LOG, _RETURNING = "storage/cold/journal.py", "storage/cold/restore.py"
_TIER_STORE = "storage/testing/tier_store.py"
_S3 = "storage/cold/s3/transition.py"
BUGS = (
    Bug(
        "an object is moved whatever it has become",
        _TIERING,
        "if one.etag not in (info.etag, compression.etag if compression else info.etag):",
        "if not one.etag:",
        "tests/unit/cold/test_tiering.py::test_another_object_is_left_alone",
    ),
    Bug(
        "what was compressed since the plan is not moved",
        _TIERING,
        "compression.etag if compression else info.etag",
        "info.etag",
        "tests/unit/cold/test_tiering.py::test_what_was_compressed_since_the_plan_is_moved",
    ),
    Bug(
        "the class is taken on trust",
        _TIERING,
        "if now.info.storage_class == place.target:\n        left",
        "if by_copy or now.info.storage_class == place.target:\n        left",
        "tests/unit/cold/test_tiering.py::test_a_store_that_ignores_classes_is_found_out",
    ),
    Bug(
        "our tag stays on the object that took the key",
        _TIERING,
        "        if not by_copy:\n            let_go(tier_store, now, place)\n",
        "",
        "tests/unit/cold/test_tiering.py::test_an_object_that_takes_the_key_meanwhile_stays_hot",
    ),
    Bug(
        "a new object that our tag moved stays in the cold",
        _TIERING,
        'tier_store.copy_in_place(now, "STANDARD", tags, guarded=True)',
        "tier_store.put_tags(key, tags)",
        "tests/unit/cold/test_tiering.py::test_a_new_object_that_our_tag_moved_is_brought_back",
    ),
    Bug(
        "other tags are wiped",
        _TIERING,
        "tags[TIER_TAG] = place.tier\n",
        "tags = {TIER_TAG: place.tier}\n",
        "tests/unit/cold/test_tiering.py::test_other_tags_remain",
    ),
    Bug(
        "an eleventh tag is sent",
        _TIERING,
        "if len(tags) > MOST_TAGS:",
        "if len(tags) > MOST_TAGS + 1:",
        "tests/unit/cold/test_tiering.py::test_ten_tags_are_all_that_an_object_can_have",
    ),
    Bug(
        "moved before it is remembered as on its way: killed in between, the ledger never hears of it",
        _TIERING,
        "        before = note_asked(looked, stores)\n",
        "        list(pool.map(partial(send, stores.tier_store), looked))\n"
        "        [stores.tier_store.details(one.move.key) for one in looked]\n"
        "        before = note_asked(looked, stores)\n",
        "tests/unit/cold/test_follow.py::test_killed_after_the_copy_it_counts_as_on_its_way",
    ),
    Bug(
        "remembered as held before it is in the ledger",
        _LOG,
        "    stores.cold.enter(savings)\n    stores.cold.save_records(records)\n",
        "    stores.cold.save_records(records)\n    stores.cold.enter(savings)\n",
        "tests/unit/cold/test_follow.py::test_the_ledger_comes_before_the_memory",
    ),
    Bug(
        "stuck objects wait for ever",
        _TIERING,
        "now - since > STUCK_AFTER",
        "now - since > 100 * STUCK_AFTER",
        "tests/unit/cold/test_follow.py::test_after_two_days_it_is_stuck",
    ),
    Bug(
        "the version that a copy leaves is not counted",
        _TIERING,
        "left = before.size if by_copy and versioned and not one.there else 0",
        "left = 0",
        "tests/unit/cold/test_tiering.py::test_a_version_left_behind_is_counted",
    ),
    Bug(
        "what came back is not counted as read, and goes again the next night",
        _RETURNING,
        "            stores.cold.touch(some, stores.clock())\n",
        "",
        "tests/unit/cold/test_restore.py::test_an_object_comes_back",
    ),
    Bug(
        "the tag stays on what came back, and its rule takes it away again",
        _RETURNING,
        '"STANDARD", tags if tagged else None, guarded=True',
        '"STANDARD", None, guarded=True',
        "tests/unit/cold/test_restore.py::test_an_object_comes_back",
    ),
    Bug(
        "the whole least time is charged, whatever an object has stayed",
        _RETURNING,
        "left = price.minimum - (now - since if since else timedelta())",
        "left = price.minimum",
        "tests/unit/cold/test_restore.py::test_leaving_early_costs",
    ),
    Bug(
        "a pinned job's objects are moved",
        "storage/cold/actions/transition.py",
        "elif pinned:",
        "elif pinned and not action.owner:",
        "tests/unit/cold/test_tiering.py::test_what_is_needed_again_stays",
    ),
    Bug(
        "the fake copies over another object",
        _TIER_STORE,
        "if was.etag != seen.info.etag:",
        "if not was.etag:",
        "tests/contract/cold/test_transition.py::test_copy_in_place_of_another_object_is_refused[fake-False]",
    ),
    Bug(
        "brought back by one request, which compares only what it reads",
        _S3,
        "in_parts = guarded and",
        "in_parts = False and",
        "tests/contract/cold/test_transition.py::test_a_race_of_guarded_copies_and_writers_loses_nothing",
    ),
    Bug(
        "a guarded copy ends unguarded",
        _S3,
        '"IfMatch": seen.info.etag}',
        "}",
        "tests/contract/cold/test_transition.py::test_a_guarded_copy_never_takes_the_place_of_what_was_written_meanwhile",
    ),
    Bug(
        "what a large object carries is lost in its parts",
        _S3,
        "words(seen, seen.attributes, borne or {})",
        "words(seen, seen.attributes, {})",
        "tests/contract/cold/test_transition.py::test_what_is_too_large_for_one_request_is_copied_in_parts",
    ),
    Bug(
        "a rule whose days MinIO leaves out is none",
        _S3,
        'not move.get("Days")',
        'move.get("Days") == 0',
        "tests/contract/cold/test_transition.py::test_rules_are_those_that_move_what_is_tagged_at_once",
    ),
)

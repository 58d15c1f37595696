"""Seeded bugs in cold data that its crash points and races must detect."""

from __future__ import annotations

from tests.faults.cleanup.bugs import Bug

_TESTS = "tests/faults/cold/test_crash_points.py"
_POINT, _RACE = f"{_TESTS}::test_point", f"{_TESTS}::test_race_of_cold_data"
_REWRITE, _ACTION = "storage/cold/compress.py", "storage/cold/actions/compress.py"
BUGS = (
    Bug(
        "the compressed form is put whatever is there by then",
        "storage/cold/s3/replace.py",
        'conditions={"IfMatch": seen.info.etag},',
        "conditions={},",
        f"{_RACE}[minio-overwritten just before the write]",
    ),
    Bug(
        "the tag is not looked for again where another object took the key",
        "storage/cold/tiering.py",
        "        if not by_copy:\n            let_go(tier_store, now, place)\n",
        "",
        f"{_RACE}[minio-overwritten just before the tag]",
    ),
    Bug(
        "what is brought back is put whatever is there by then",
        "storage/cold/s3/transition.py",
        'done = {"MultipartUpload": {"Parts": parts}, "IfMatch": seen.info.etag}',
        'done = {"MultipartUpload": {"Parts": parts}}',
        f"{_RACE}[minio-overwritten just before it is back]",
    ),
    Bug(
        "remembered as compressed before it is in the ledger",
        _ACTION,
        "        if self.savings:\n            stores.cold.enter(self.savings)\n"
        "        if self.records:\n            stores.cold.save_records(self.records)\n",
        "        if self.records:\n            stores.cold.save_records(self.records)\n"
        "        if self.savings:\n            stores.cold.enter(self.savings)\n",
        f"{_POINT}[not entered-minio]",
    ),
    Bug(
        "remembered as compressed though its saving could not be measured",
        _ACTION,
        "        now, saving = made.after.info, self._saving(made, work)\n"
        "        findings.savings.append(saving)  # no record without its saving: "
        "it would not be examined again\n"
        "        findings.records.append(\n"
        '            replace(record, etag=now.etag, size=now.size, compression="compressed", skipped="")\n'
        "        )\n",
        "        now = made.after.info\n"
        '        held = replace(record, etag=now.etag, size=now.size, compression="compressed", skipped="")\n'
        "        findings.records.append(held)\n"
        "        findings.savings.append(self._saving(made, work))\n",
        f"{_POINT}[not measured-minio]",
    ),
    Bug(
        "two at once look into the ledger before either has entered",
        "storage/cold/postgres.py",
        '            self._sql.rows_in(session, "alone_in_the_ledger", bucket=self._bucket)\n',
        "",
        "tests/contract/cold/test_cold_log.py::test_two_at_once_enter_the_same_once",
    ),
    Bug(
        "what is in the ledger already is entered again",
        "sql/queries/cold.sql",
        "WHERE (last.kind, last.etag, last.tier) IS DISTINCT FROM (saving.kind, saving.etag, saving.tier);",
        ";",
        f"{_POINT}[entered-minio]",
    ),
    Bug(
        "a small form that a killed night left is too small to be looked at",
        "storage/cold/policy.py",
        " and not _begun(item):",
        ":",
        f"{_POINT}[written-minio]",
    ),
    Bug(
        "tags are lost with the replacement",
        _REWRITE,
        "replacer.tags(key)  # as late as possible",
        "{}  # as late as possible",
        f"{_POINT}[written-minio]",
    ),
    Bug(
        "other bytes are sent than were proven: a compressor that errs goes unnoticed",
        _REWRITE,
        "    spool.write(data)\n",
        "    spool.write(data[:-1] + bytes([data[-1] ^ 1]) if data else data)\n",
        f"{_POINT}[written-minio]",
    ),
    Bug(
        "that an original is being put back is not noted before",
        "storage/cold/decompress.py",
        "lambda seen, compression: noted.append(_note_begun(stores, seen, compression))",
        "lambda seen, compression: None",
        f"{_POINT}[restored-minio]",
    ),
    Bug(
        "rules that stand though the store went away are called failed",
        "storage/lifecycle/apply.py",
        "    except LifecycleNotRestored:\n        raise",
        "    except ZeroDivisionError:\n        raise",
        "tests/unit/cold/test_after_a_fault.py::test_rules_that_stand_though_the_store_went_away_are_found_applied",
    ),
    Bug(
        "moved though it could not be compressed before",
        "storage/cold/actions/transition.py",
        "elif action.compress_first and not (",
        "elif action.compress_first and action is None and not (",
        "tests/unit/cold/test_after_a_fault.py::test_what_could_not_be_compressed_tonight_is_not_moved_tonight",
    ),
    Bug(
        "an object that somebody deleted fails the check of the night",
        "storage/cold/actions/transition.py",
        "            return True  # deleted since",
        "            return False",
        "tests/unit/cold/test_tiering.py::test_an_object_that_goes_meanwhile_is_no_failure",
    ),
)

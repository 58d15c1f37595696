"""Seeded bugs: inputs of other people's databases and stores, and refusals (docs/adversity.md)."""

from __future__ import annotations

from tests.faults.cleanup.bugs import Bug

BUGS = (
    Bug(
        "rows that a policy hides count as absent",
        "storage/stores/postgres/conninfo.py",
        " -c row_security=off",
        "",
        "tests/integration/cleanup/test_hidden_rows.py::test_hidden_rows_refuse[owner-ministack]",
    ),
    Bug(
        "another spelling of an id is another job",
        "storage/stores/postgres/jobs.py",
        "written = job_ids.WRITTEN.get(self._type_of_ids, str)",
        "written = str",
        "tests/integration/cleanup/test_hidden_rows.py::test_every_spelling_of_a_live_job_is_that_job_s"
        "[uuid-ministack]",
    ),
    Bug(
        "another case of a citext id is another job",
        "storage/stores/postgres/jobs.py",
        'name = "get_folded" if self._type_of_ids == "citext" else "get"',
        'name = "get"',
        "tests/integration/cleanup/test_hidden_rows.py::test_every_spelling_of_a_live_job_is_that_job_s"
        "[citext-ministack]",
    ),
    Bug(
        "a job without a time has ended",
        "storage/core/model.py",
        "return self.status in ENDED and self.updated_at is not None",
        "return self.status in ENDED",
        "tests/integration/cleanup/test_hidden_rows.py::test_a_row_without_a_usable_time_keeps_its_files"
        "[NULL-ministack]",
    ),
    Bug(
        "an empty pause is none",
        "storage/core/records.py",
        'return None if value is None else value.strip() or "no reason was given"',
        "return value or None",
        "tests/integration/cleanup/test_hidden_rows.py::test_an_empty_pause_is_a_pause[ministack]",
    ),
    Bug(
        "an empty page ends the listing",
        "storage/stores/s3/listing.py",
        """            if found or not response.more:
                return Page(tuple(found), response.more)
        raise AssertionError("a listing ends with a page or an error")

    def version_page""",
        """            return Page(tuple(found), response.more and bool(found))
        raise AssertionError("a listing ends with a page or an error")

    def version_page""",
        "tests/unit/stores/test_listing.py::test_truncated_pages_without_entries_are_followed",
    ),
    Bug(
        "keys outside the prefix are judged",
        "storage/stores/s3/listing.py",
        "if stray := next((key for key in keys if not key.startswith(prefix)), None):",
        "if stray := None:",
        "tests/unit/stores/test_listing.py::test_keys_outside_the_prefix_are_refused",
    ),
    Bug(
        "the key that a page starts after is listed again",
        "storage/stores/s3/listing.py",
        "found = [info for info in response.entries if info.key != start_after]",
        "found = list(response.entries)",
        "tests/unit/stores/test_listing.py::test_the_key_that_a_page_starts_after_is_not_listed_again",
    ),
    Bug(
        "a rejected plan can be approved",
        "sql/queries/runs.sql",
        "AND state NOT IN ('refused', 'rejected')",
        "AND state <> 'refused'",
        "tests/contract/stores/test_runs.py::test_a_rejection_is_final[postgres-waiting]",
    ),
    Bug(
        "a rejected run is planned again under its id",
        "sql/queries/runs.sql",
        "WHERE runs.state <> 'rejected'\nRETURNING id;",
        "RETURNING id;",
        "tests/contract/stores/test_runs.py::test_a_rejection_is_final[postgres-waiting]",
    ),
)

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
        "return None if value is None else Pause(",
        "return None if not value else Pause(",
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
        "WHERE runs.state <> 'rejected'\n    AND (",
        "WHERE (",
        "tests/contract/stores/test_runs.py::test_a_rejection_is_final[postgres-waiting]",
    ),
    Bug(
        "one refused row fails its whole batch",
        "storage/engine/actions/jobs.py",
        'if len(batch) == 1:\n                return [_refused(error, "failed")]',
        'if batch:\n                return [_refused(error, "failed")] * len(batch)',
        "tests/integration/cleanup/test_refused_rows.py::test_refused_rows_do_not_stop_the_others[ministack]",
    ),
    Bug(
        "a row left as it was counts as moved on",
        "storage/stores/postgres/jobs.py",
        'if len(changed) < len(rows) or self._sql.rows_in(connection, "as_seen", **as_seen):',
        "if len(changed) < len(rows):",
        "tests/integration/cleanup/test_refused_rows.py::test_refused_rows_do_not_stop_the_others[ministack]",
    ),
    Bug(
        "a status that a trigger reverts counts as set",
        "storage/stores/postgres/tombstones.py",
        'if changed and changed[0]["status"] == "cleaned_up":',
        "if changed:",
        "tests/integration/cleanup/test_refused_rows.py::test_a_job_that_cannot_become_cleaned_up_keeps_its_objects[ministack]",
    ),
    Bug(
        "a serialization failure counts as a refusal",
        "storage/stores/postgres/connection.py",
        '_OF_THE_SERVER = {"08", "25", "28", "40",',
        '_OF_THE_SERVER = {"08", "25", "28",',
        "tests/integration/cleanup/test_refused_rows.py::test_the_class_of_the_error_tells_a_refusal_from_a_fault[40001-TransientFault]",
    ),
    Bug(
        "refused rows stop the run",
        "storage/engine/breaker.py",
        "            if outcome.of_row:\n                continue\n",
        "",
        "tests/unit/engine/test_apply.py::test_rows_that_the_database_refuses_do_not_stop_the_run",
    ),
    Bug(
        "migrate does not look at the statuses",
        "storage/stores/postgres/migrate.py",
        '            statuses.check(session, (files / "mapping.sql").read_text())\n',
        "",
        "tests/integration/stores/test_migrations.py::test_statuses_that_the_table_refuses_are_found_before_any_change",
    ),
    Bug(
        "a busy store is asked once",
        "storage/stores/s3/bucket.py",
        "transient=failure.code in TRANSIENT",
        "transient=False",
        "tests/integration/stores/test_refused_deletes.py::test_a_busy_store_is_asked_again_and_what_was_written_meanwhile_stays",
    ),
    Bug(
        "a second try without a recheck",
        "storage/engine/actions/removal.py",
        "return self._try(actions, look_again(self.objects, (action.key for action in actions)))",
        "return self._try(actions, dict(self._sent))",
        "tests/unit/engine/test_removal.py::test_an_object_written_again_between_two_tries_stays",
    ),
    Bug(
        "what a try left of an object is another object",
        "storage/engine/actions/removal.py",
        "if info and sent and info.versions and",
        "if info and not sent and info.versions and",
        "tests/unit/engine/test_removal.py::test_versions_that_one_try_left_are_deleted_by_the_next",
    ),
    Bug(
        "a legal hold is no lock",
        "storage/stores/s3/locks.py",
        "        yield FOREVER\n",
        "        return\n",
        "tests/integration/stores/test_refused_deletes.py::test_locked_objects_are_named_with_their_dates",
    ),
    Bug(
        "a locked object is asked for every hour",
        "storage/engine/actions/objects.py",
        "return min(lock.until, tomorrow) if lock.until else tomorrow",
        "return stores.clock()",
        "tests/unit/engine/test_removal.py::test_reap_asks_for_a_locked_object_again_when_it_may_be_free",
    ),
    Bug(
        "a locked backup fails the run",
        "storage/backup/actions.py",
        "    if failure.lock:\n",
        "    if not failure:\n",
        "tests/unit/backup/test_prune.py::test_a_locked_backup_is_kept_with_its_date",
    ),
    Bug(
        "an upload in no folder is an orphan",
        "storage/cleanup/uploads.py",
        "elif item.owner is None:",
        'elif item.owner == "":',
        "tests/unit/cleanup/test_reap.py::test_an_upload_in_no_jobs_folder_is_no_orphan",
    ),
    Bug(
        "the holes of a file count",
        "storage/stores/file_walk.py",
        "return seen.st_size if 0 <= allocated - seen.st_size < seen.st_blksize else allocated",
        "return seen.st_size",
        "tests/unit/stores/test_file_walk.py::test_bytes_are_those_that_deleting_frees",
    ),
    Bug(
        "another folder at the same path is walked",
        "storage/stores/file_walk.py",
        "if not os.path.samestat(os.fstat(fd), level.seen):",
        "if fd < 0:",
        "tests/unit/stores/test_file_walk.py::test_a_folder_replaced_during_the_walk_is_left",
    ),
    Bug(
        "an unreadable folder is passed over",
        "storage/stores/file_walk.py",
        "            return UNREADABLE\n",
        '            return ""\n',
        "tests/unit/stores/test_file_walk.py::test_an_unreadable_folder_is_named_and_kept",
    ),
    Bug(
        "what no job may decide about is not counted",
        "storage/cleanup/temp.py",
        "yield Keep(file.path, file.size, unfit, unfit)",
        "yield Keep(file.path, file.size, unfit)",
        "tests/unit/stores/test_file_walk.py::test_what_no_job_may_decide_about_is_counted_in_the_run",
    ),
    Bug(
        "hidden keys are not noticed",
        "storage/stores/s3/probe.py",
        'return [found["Key"] for found in answer.get("Contents", ())] == [target.key("both/below")]',
        "return bool(answer)",
        "tests/integration/cli/test_command_line.py::test_probe[minio]",
    ),
    Bug(
        "an overwritten version null counts as what an earlier try left",
        "storage/engine/actions/removal.py",
        "set(info.versions) < set(sent.versions[1:])",
        "set(info.versions) <= set(sent.versions)",
        "tests/unit/engine/test_removal.py::test_a_version_null_that_was_overwritten_stays",
    ),
    Bug(
        "a late twin of the task plan undoes that a run was applied",
        "storage/testing/runs.py",
        "if known.state in ACTED and run.state not in ACTED:",
        "if False:",
        "tests/contract/stores/test_runs.py::test_what_was_begun_is_not_planned_again[fake]",
    ),
)

"""Seeded bugs in backups that the tests must detect; as :mod:`tests.faults.cleanup.bugs`."""

from __future__ import annotations

from tests.faults.cleanup.bugs import Bug

BUGS = (
    Bug(
        "a backup that was never proven counts",
        "storage/backup/policy.py",
        'proven = [backup for backup in sets if backup.state == "proven"]',
        'proven = [backup for backup in sets if backup.state in ("proven", "complete")]',
        "tests/unit/backup/test_policy.py::test_unproven_ones_wait_for_enough_proven_ones",
    ),
    Bug(
        "the minimum of proven backups is forgotten",
        "storage/backup/policy.py",
        "proven[: max(rule.last, rule.minimum)]",
        "proven[: rule.last]",
        "tests/unit/backup/test_policy.py::test_the_minimum_stays_whatever_else_the_rule_says",
    ),
    Bug(
        "a pinned backup is pruned",
        "storage/backup/policy.py",
        "    if backup.pinned:\n",
        "    if backup.pinned and not backup.id:\n",
        "tests/unit/backup/test_policy.py::test_at_the_cut",
    ),
    Bug(
        "a running backup is pruned once it is old",
        "storage/backup/policy.py",
        'if backup.state == "running":',
        'if backup.state == "running" and not backup.id:',
        "tests/unit/backup/test_policy.py::test_at_the_cut",
    ),
    Bug(
        "a backup of the future is no reason to stop",
        "storage/backup/policy.py",
        "if ahead := next((one for one in counting if one.taken_at > now + SKEW), None):",
        "if ahead := next((one for one in counting if one.taken_at > now + 1000 * SKEW), None):",
        "tests/unit/backup/test_policy.py::test_a_minute_ahead_is_no_future",
    ),
    Bug(
        "old backups go without a fresh proven one",
        "storage/backup/policy.py",
        "if proven is None or now - proven.taken_at > FRESH:",
        "if proven is None:",
        "tests/unit/backup/test_policy.py::test_nothing_goes_without_a_fresh_proven_one",
    ),
    Bug(
        "every set may go in one run",
        "storage/backup/policy.py",
        "for backup in going[len(sets) // 2 :]:",
        "for backup in going[len(sets) :]:",
        "tests/unit/backup/test_policy.py::test_at_most_half_goes_and_the_oldest_first",
    ),
    Bug(
        "a period keeps its oldest, which the next run no longer wants",
        "storage/backup/policy.py",
        "        for backup in proven:\n",
        "        for backup in reversed(proven):\n",
        "tests/unit/backup/test_policy.py::test_years_of_nights_end_with_the_set_of_the_rule",
    ),
    Bug(
        "a backup exactly at the cut stays",
        "storage/backup/policy.py",
        "    if age < until:\n",
        "    if age <= until:\n",
        "tests/unit/backup/test_policy.py::test_at_the_cut",
    ),
    Bug(
        "a backup whose manifest is gone counts as proven",
        "storage/backup/policy.py",
        "return (backup.state in COUNTED or bool(left)) and",
        "return bool(left) and",
        "tests/unit/backup/test_old_backups.py::test_a_counted_backup_without_its_manifest_stays_and_does_not_count",
    ),
    Bug(
        "a manifest that a listing hides counts as gone",
        "storage/backup/policy.py",
        "and backup_bucket.head(ObjectKey(p + MANIFEST))}",
        "and False}",
        "tests/unit/backup/test_old_backups.py::test_select_sees_rows_folders_uploads_and_asks_for_what_a_listing_hides",
    ),
    Bug(
        "the scheduled instant is taken for the clock",
        "storage/backup/policy.py",
        "_refuse(kind, mine, now or as_of)",
        "_refuse(kind, mine, as_of)",
        "tests/unit/backup/test_policy.py::test_the_night_s_own_backup_is_later_than_the_as_of",
    ),
    Bug(
        "a backup proven after the plan is pruned",
        "storage/backup/actions.py",
        'if row.state not in (self.state, "expired"):',
        'if row.state == "running":',
        "tests/unit/backup/test_prune.py::test_what_was_proven_after_the_plan_stays",
    ),
    Bug(
        "that a newer backup is proven is not looked at again",
        "storage/backup/actions.py",
        "if not others or _order(others[0]) < _order(row):",
        "if not others:",
        "tests/unit/backup/test_prune.py::test_with_every_newer_one_failed_meanwhile_it_stays",
    ),
    Bug(
        "how many stay proven is not looked at again",
        "storage/backup/actions.py",
        "if len(others) < self.minimum:",
        "if len(others) < 0:",
        "tests/unit/backup/test_prune.py::test_with_too_few_proven_ones_left_it_stays",
    ),
    Bug(
        "a pin of the last moment is overlooked",
        "storage/backup/actions.py",
        "if again and again.pinned:",
        "if again is None:",
        "tests/unit/backup/test_prune.py::test_pinned_between_the_look_and_the_turn_it_stays",
    ),
    Bug(
        "the manifest goes together with the parts",
        "storage/backup/actions.py",
        "manifest = stores.backup_bucket.head(self._manifest)",
        "manifest = None",
        "tests/unit/backup/test_prune.py::test_row_then_manifest_then_parts_then_uploads",
    ),
    Bug(
        "parts go though the manifest could not",
        "storage/backup/actions.py",
        "        if not refused:\n            rest, refused",
        "        if True:\n            rest, refused",
        "tests/unit/backup/test_prune.py::test_a_delete_that_is_refused_fails_the_run_and_goes_on_later",
    ),
    Bug(
        "a pruned backup's older versions stay",
        "storage/engine/actions/removal.py",
        "DeleteTarget(info.key, info.etag, info.versions)",
        "DeleteTarget(info.key, info.etag)",
        "tests/unit/backup/test_prune.py::test_a_backup_goes_wholly_and_the_others_remain",
    ),
    Bug(
        "other backups' uploads are aborted too",
        "storage/backup/actions.py",
        " if upload.key.startswith(place)}",
        "}",
        "tests/unit/backup/test_prune.py::test_a_backup_goes_wholly_and_the_others_remain",
    ),
    Bug(
        "what is being proven is pruned",
        "storage/backup/actions.py",
        'PROOF = "prove"',
        'PROOF = "proof"',
        "tests/unit/backup/test_prune.py::test_during_a_proof_it_stays",
    ),
    Bug(
        "a server that was restarted under pg_restore counts as a damaged backup",
        "storage/backup/postgres/dump.py",
        "if killed or MACHINE.search(message)",
        'if killed or "No space left" in message',
        "tests/faults/backup/test_crash_points.py::test_a_machine_that_fails_under_pg_restore_is_not_the_backup_s_fault[restart]",
    ),
    Bug(
        "a full disk of the throw-away server counts as a damaged backup",
        "storage/backup/postgres/dump.py",
        "if killed or MACHINE.search(message)",
        'if killed or "connection" in message',
        "tests/faults/backup/test_crash_points.py::test_a_machine_that_fails_under_pg_restore_is_not_the_backup_s_fault[full]",
    ),
    Bug(
        "a database is dropped by force, which asks for rights over autovacuum",
        "storage/backup/postgres/temporary_server.py",
        'sql.SQL("DROP DATABASE IF EXISTS {}")',
        'sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")',
        "tests/integration/backup/test_drop.py::test_autovacuum_is_sent_away",
    ),
    Bug(
        "the snapshot is taken before the tables are locked",
        "storage/backup/postgres/fingerprint.py",
        """            session.commit()
            locked_snapshot(sql, session)
""",
        "            session.commit()\n            locked_snapshot = None\n",
        "tests/integration/backup/test_table_locks.py::test_a_change_at_the_beginning"
        "[truncate-before pg_dump-ministack]",
    ),
    Bug(
        "the locks end before the snapshot is taken",
        "storage/backup/postgres/table_locks.py",
        """                if not sql.rows_in(session, "lockable", unlocked=True):
                    return
""",
        """                session.rollback()
                sql.rows_in(session, "lockable", unlocked=True)
                return
""",
        "tests/faults/backup/test_ddl_sweep.py::test_a_proven_backup_beside_ddl_is_a_state_that_was",
    ),
    Bug(
        "the locks on indexes are kept",
        "storage/backup/postgres/fingerprint.py",
        "ROLLBACK TO SAVEPOINT of_table; RELEASE",
        "RELEASE",
        "tests/integration/backup/test_table_locks.py::test_indexes_take_no_room_for_locks[ministack]",
    ),
    Bug(
        "a table created after the list was read stays unlocked",
        "storage/backup/postgres/table_locks.py",
        'if not sql.rows_in(session, "lockable", unlocked=True):',
        'if not sql.rows_in(session, "lockable", unlocked=True) or True:',
        "tests/integration/backup/test_table_locks.py::test_a_table_created_between_list_and_lock_is_locked"
        "[ministack]",
    ),
    Bug(
        "the bucket says which backup is the latest",
        "storage/cli/restore.py",
        "known = of_catalogue(context, args.backup)",
        "known = of_bucket(backup_bucket, args.backup)",
        "tests/integration/backup/test_command_line.py::"
        "test_what_another_client_put_into_the_bucket_does_not_exist[ministack]",
    ),
    Bug(
        "a backup that the catalogue does not know is proven",
        "storage/backup/prove.py",
        """    if known is None:
        raise NoSuchBackup(id)
    try:""",
        """    if known is None:
        known = entry(*manifests.read(id, context.stores.backup_bucket))
        context.stores.catalogue.save(known)
    try:""",
        "tests/integration/backup/test_command_line.py::"
        "test_what_another_client_put_into_the_bucket_does_not_exist[ministack]",
    ),
    Bug(
        "messages of unknown forms are shown",
        "storage/stores/postgres/messages.py",
        "    return known + WITHHELD\n",
        "    return known + rest\n",
        "tests/unit/stores/test_messages.py::test_data_is_left_out",
    ),
    Bug(
        "the driver's error is the cause of ours, and its data in the traceback",
        "storage/stores/postgres/connection.py",
        "        raise ours(error.orig) from None",
        "        raise ours(error.orig) from error",
        "tests/integration/backup/test_no_data_in_errors.py::test_a_statement_that_fails_on_data_quotes_none",
    ),
    Bug(
        "pg_restore's output is shown as it is",
        "storage/backup/postgres/dump.py",
        "else RestoreFailed(shown_output(message))",
        "else RestoreFailed(message)",
        "tests/integration/backup/test_no_data_in_errors.py::test_a_restore_that_fails_on_data_quotes_none",
    ),
    Bug(
        "a backup of another key counts",
        "storage/backup/rebuild.py",
        "    if keys and not manifest.authenticated:",
        "    if keys and not manifest:",
        "tests/integration/backup/test_authentication.py"
        "::test_without_the_catalogue_only_what_the_key_signed_counts",
    ),
    Bug(
        "a forged hash is only not authenticated",
        "storage/backup/authentication.py",
        "                raise BackupDamaged(",
        "                print(",
        "tests/unit/backup/test_authentication.py::test_a_forged_hash_is_damage",
    ),
    Bug(
        "a backup of the future is the newest",
        "storage/testing/catalogue.py",
        "if backup.taken_at <= until), None)",
        "if until), None)",
        "tests/contract/backup/test_catalogue.py::test_the_newest_proven_of_a_kind",
    ),
    Bug(
        "a part may unpack to any size",
        "storage/backup/download.py",
        "        if self._written > self._most:",
        "        if self._written > self._most * 9:",
        "tests/unit/backup/test_download.py::test_a_part_read_into_memory",
    ),
    Bug(
        "names are read in the database's own encoding",
        "storage/stores/postgres/conninfo.py",
        '    found["client_encoding"] = "UTF8"',
        "    ...",
        "tests/integration/backup/test_real_databases.py::test_other_encodings[SQL_ASCII-ministack]",
    ),
)

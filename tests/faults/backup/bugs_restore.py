"""Seeded bugs in restores that the tests must detect; as :mod:`tests.faults.cleanup.bugs`."""

from __future__ import annotations

from tests.faults.cleanup.bugs import Bug

BUGS = (
    Bug(
        "a database counts as empty while it holds no relation",
        "storage/backup/postgres/contents.py",
        "WHERE classid <> 'pg_largeobject_metadata'::regclass",
        "WHERE classid = 'pg_class'::regclass",
        "tests/integration/backup/test_not_empty.py::test_every_kind_of_thing_counts",
    ),
    Bug(
        "large objects do not count",
        "storage/backup/postgres/contents.py",
        "UNION SELECT 'pg_largeobject'::regclass, oid FROM pg_largeobject_metadata",
        "",
        "tests/integration/backup/test_not_empty.py::test_a_database_without_tables_is_not_replaced"
        "[large-ministack]",
    ),
    Bug(
        "a list of libraries to preload is carried as one name",
        "sql/queries/properties.sql",
        ", 'session_preload_libraries', 'local_preload_libraries')",
        ")",
        "tests/integration/backup/test_swap_properties.py::test_settings_that_are_lists[ministack]",
    ),
    Bug(
        "settings are not tried before the restore",
        "storage/backup/postgres/properties.py",
        "        if why := _refusal(url, chosen):\n",
        "        if why := _refusal(url, []):\n",
        "tests/integration/backup/test_swap_properties.py::test_what_would_shut_everybody_out[ministack]",
    ),
    Bug(
        "settings are first tried after the restore",
        "storage/backup/restore/swap.py",
        "        properties.rehearse(admin, live, beside, manifest.database.locale)\n",
        "",
        "tests/integration/backup/test_swap_properties.py::test_what_would_shut_everybody_out[ministack]",
    ),
    Bug(
        "what belongs to the database itself is found after the restore",
        "storage/backup/postgres/swap.py",
        "    check_bound(admin, live)\n    _check_sessions(admin, live)\n\n\n",
        "    _check_sessions(admin, live)\n\n\n",
        "tests/integration/backup/test_swap_properties.py::test_what_would_be_left_behind[ministack]",
    ),
    Bug(
        "what came to belong to the database during the restore is left behind",
        "storage/backup/postgres/swap.py",
        "    check_bound(admin, live)\n    _check_sessions(admin, live)\n    words",
        "    _check_sessions(admin, live)\n    words",
        "tests/integration/backup/test_swap_properties.py::test_what_would_be_left_behind[ministack]",
    ),
    Bug(
        "one live row stands for every identical row of the backup",
        "storage/backup/postgres/row_diff.py",
        " AND other.{copy} = one.{copy}",
        "",
        "tests/integration/backup/test_identical_rows.py::test_identical_rows_are_counted[ministack]",
    ),
    Bug(
        "a symbolic link that -o names is replaced",
        "storage/cli/output_file.py",
        "_descriptor(name), Path(name).resolve()",
        "_descriptor(name), Path(name)",
        "tests/unit/cold/test_output_file.py::test_a_link_is_followed",
    ),
    Bug(
        "a file that has other names is replaced under one of them",
        "storage/cli/output_file.py",
        "old.st_nlink > 1",
        "old.st_nlink > 2",
        "tests/unit/cold/test_output_file.py::test_a_file_keeps_its_mode_its_owner_and_its_other_names",
    ),
    Bug(
        "the file behind an open descriptor is replaced",
        "storage/cli/output_file.py",
        "descriptor is not None or _writes_into(target, name)",
        "_writes_into(target, name)",
        "tests/unit/cold/test_output_file.py::test_a_descriptor_goes_on_where_it_stands[a link]",
    ),
    Bug(
        "a scratch database with a subscription cannot be dropped",
        "storage/backup/postgres/temporary_server.py",
        "        _drop_subscriptions(cursor, beside(url, name), name)\n",
        "",
        "tests/integration/backup/test_subscriptions.py::test_copies_have_no_subscription[ministack]",
    ),
    Bug(
        "a restore beside the live database shares its replication slot",
        "storage/backup/restore/database.py",
        "*(() if live else COPY)",
        "*()",
        "tests/integration/backup/test_subscriptions.py::test_copies_have_no_subscription[ministack]",
    ),
    Bug(
        "a database that went back is not recognised",
        "storage/engine/guard.py",
        "    last_run.check(stores)\n",
        "",
        "tests/unit/engine/test_last_run.py::test_marks_of_another_day_do_not_act",
    ),
    Bug(
        "the plan bucket names a run before the database knows it",
        "storage/engine/apply.py",
        '    stores.runs.save(run)\n    stores.audit.record("apply"',
        '    last_run.record(run, stores)\n    stores.runs.save(run)\n    stores.audit.record("apply"',
        "tests/unit/engine/test_last_run.py::test_a_kill_while_a_run_begins[save]",
    ),
    Bug(
        "a run that was only planned counts as one that acted",
        "storage/engine/last_run.py",
        "run.state in ACTED",
        'run.state in ("planned", *ACTED)',
        "tests/unit/engine/test_last_run.py::test_a_plan_alone_is_no_run_that_acted",
    ),
    Bug(
        "an epoch counts as opened before it is",
        "storage/engine/last_run.py",
        '        stores.control.write("restore_epoch", json.dumps(epoch))\n',
        "        stores.control.write(NOTICED, last)\n"
        '        stores.control.write("restore_epoch", json.dumps(epoch))\n',
        "tests/unit/engine/test_last_run.py::test_a_kill_while_the_epoch_is_opened[1]",
    ),
    Bug(
        "marks of another day act once the epoch is closed",
        "storage/backup/restore/reconcile.py",
        "                copy_rows.void(session)\n",
        "                pass\n",
        "tests/integration/backup/test_went_back.py::test_marks_of_another_day_wait_and_then_go[ministack]",
    ),
)

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
        "tests/integration/backup/test_swap_properties.py"
        "::test_what_would_stay_with_the_replaced_database[ministack]",
    ),
    Bug(
        "what came to belong to the database during the restore is left behind",
        "storage/backup/postgres/swap.py",
        "    check_bound(admin, live)\n    _check_sessions(admin, live)\n    words",
        "    _check_sessions(admin, live)\n    words",
        "tests/integration/backup/test_swap_properties.py"
        "::test_what_would_stay_with_the_replaced_database[ministack]",
    ),
    Bug(
        "one live row stands for every identical row of the backup",
        "storage/backup/postgres/row_diff.py",
        " AND other.{copy} = one.{copy}",
        "",
        "tests/integration/backup/test_identical_rows.py::test_identical_rows_are_counted[ministack]",
    ),
    Bug(
        "whatever -o names is replaced",
        "storage/cli/output_file.py",
        "    return not stat.S_ISREG(mode)\n",
        "    return False\n",
        "tests/unit/cold/test_output_file.py::test_a_fifo_is_written_into[itself]",
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
)

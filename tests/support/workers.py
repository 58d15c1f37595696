"""Groups of tests that run on one worker of pytest-xdist, and the order in which groups are scheduled."""

from __future__ import annotations

import os
from typing import Any

import pytest

#: Longest first, so that no worker gets a long group at the end.
ORDER = (
    "tests/e2e/",
    "tests/faults/",
    "tests/integration/",
    "tests/contract/",
    "tests/dags/",
    "tests/unit/",
    "tests/architecture/",
)
FOLDERS = {
    "tests/e2e/": "airflow",  # one running Airflow
    "tests/dags/": "dags",  # one import of the DAG files
}
#: Tests that use databases and roles of fixed names, or inspect all databases of the server.
WHOLE_SERVER = (
    *("backup/test_bad_input", "backup/test_command_line", "backup/test_manager", "backup/test_plain_tools"),
    *("backup/test_proof", "backup/test_real_databases", "backup/test_drop", "backup/test_reconcile"),
    *("backup/test_reconcile_mapping", "backup/test_restore", "backup/test_swap", "backup/test_swap_killed"),
    *("backup/test_swap_undo", "backup/test_authentication", "backup/test_no_data_in_errors"),
    *("backup/test_identical_rows", "backup/test_subscriptions", "backup/test_swap_properties"),
    *("backup/test_not_empty", "backup/test_selective", "backup/test_swap_sessions"),
    *("stores/test_database_connections", "stores/test_migrations"),
    "records/test_many_records",
)
#: Tests that count the objects in the second MinIO, or send objects there.
REMOTE_TIER = (
    *("contract/cold/test_transition", "faults/cold/test_crash_points", "integration/cold/test_cold_storage"),
    *("integration/devstack/test_cold_store", "integration/lifecycle/test_lifecycle"),
    *("integration/cold/test_tiers", "integration/cold/test_tiers_refused"),
    "upgrade/test_upgrade",
)
FILES = {
    **{f"tests/integration/{name}.py": "whole database server" for name in WHOLE_SERVER},
    "tests/faults/backup/test_ddl_sweep.py": "whole database server",
    **{f"tests/{name}.py": "remote tier" for name in REMOTE_TIER},
}


def group_of(nodeid: str) -> str:
    """Return the group of a test: by default its file."""
    path = nodeid.partition("::")[0]
    folder = next((FOLDERS[one] for one in FOLDERS if path.startswith(one)), "")
    return folder or FILES.get(path, path)


def order_of(nodeid: str) -> int:
    return next((number for number, one in enumerate(ORDER) if nodeid.startswith(one)), len(ORDER))


def in_order(items: list[pytest.Item]) -> None:
    """Sort the tests of a worker in the order in which groups are scheduled."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: order_of(item.nodeid))


def scheduler(config: pytest.Config, log: Any) -> Any:
    """Schedule whole groups with ``--dist loadgroup``; leave other distribution modes of xdist unchanged."""
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    config.option.loadscopereorder = False
    return Groups(config, log)

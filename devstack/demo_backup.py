"""First part of the demo: Airflow takes a backup and proves it by restoring it; its certificate is shown."""

from __future__ import annotations

import sys

from rich.console import Console

from devstack import stack
from devstack.errors import DevstackError
from storage.cli import output_backup
from storage.cli.output import WIDE
from storage.core.settings import Settings
from storage.installation import open_installation

out = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
DAG = "daily_backup"


def run(servers: stack.Stack, settings: Settings) -> None:
    """Trigger the backup DAG and wait. Raises DevstackError unless both backups were proven."""
    api = servers.api()
    api.wait_for_dag(DAG)
    api.unpause(DAG)
    out.print("\n[bold]The nightly backup: taken, then restored on a separate server and compared[/]")
    run = api.trigger(DAG, {})
    state = api.wait(DAG, run, timeout=240)
    out.print(f"Airflow run {run}: [bold {'green' if state == 'success' else 'red'}]{state}[/]")
    if state != "success":
        red = [t["task_id"] for t in api.task_instances(DAG, run) if t["state"] == "failed"]
        raise DevstackError(f"the run is {state}: {', '.join(red)}; see its logs at {api.base_url}")
    with open_installation(settings) as stores:
        backups = stores.catalogue.all()
    output_backup.show_backups(backups)
    for backup in backups:
        if backup.kind == "database":
            output_backup.show_certificate(backup.certificate)

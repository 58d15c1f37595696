"""Airflow task that probes the connections' endpoint."""

from __future__ import annotations

from typing import Any

from storage_airflow.connections import settings
from storage_airflow.runtime import cancellable


def probe() -> dict[str, Any]:
    """Probe the endpoint, store and return its capabilities; this tests both connections from the UI."""
    from dataclasses import asdict

    from storage.cli import output
    from storage.cli.installation import probe_now

    with cancellable():
        found, why = probe_now(settings())
    output.show_facts("Capabilities of this endpoint", output.capability_facts(found))
    if why:
        print(f"Temp folder: {why}")
    return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(found).items()}

"""Last part of the demo: objects unused for long are compressed and moved to a colder tier."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
from rich.console import Console
from rich.table import Table

from devstack import stack
from devstack.errors import DevstackError
from storage.cli import output_cold
from storage.cli.output import WIDE, size
from storage.cold import decompressing_reader
from storage.cold.policy import ColdObjects
from storage.core.clock import utcnow
from storage.core.model import ObjectKey, Prefix
from storage.core.settings import Settings
from storage.installation import Installation, open_installation
from storage.lifecycle import configure_lifecycle_policies
from storage.presigned import links

out = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
DAG, JOB = "cold_storage", "cold_storage"
Seen = Mapping[str, tuple[int, str]]


def run(servers: stack.Stack, settings: Settings) -> bool:
    """Run the DAG; return True if two listings confirm the ledger and an object still reads as before."""
    out.print("\n[bold]Cold storage: objects of jobs completed 90 days ago and not read since[/]")
    if settings.tiers:
        out.print(f"  {configure_lifecycle_policies(settings)}", soft_wrap=True)
    before = _listing(servers)
    with open_installation(settings) as stores:
        key = _sample(stores)
        url = links(settings).url(key)
        was = _fetched(url)
        _trigger(servers)
        after = _listing(servers)
        lines = stores.cold.savings("class")
        output_cold.show_savings(lines, stores.cold.tiers(), stores.cold_settings)
        read = hashlib.sha256(b"".join(decompressing_reader.read(stores.replacer, key))).hexdigest()
    return _judge(before, after, sum(line.saved for line in lines), key, (was, _fetched(url), read))


def _trigger(servers: stack.Stack) -> None:
    api = servers.api()
    api.wait_for_dag(DAG)
    api.unpause(DAG)
    made = api.trigger(DAG, {"dry_run": False})
    state = api.wait(DAG, made, timeout=400)
    out.print(f"Airflow run {made}: [bold {'green' if state == 'success' else 'red'}]{state}[/]")
    if state != "success":
        red = [t["task_id"] for t in api.task_instances(DAG, made) if t["state"] == "failed"]
        raise DevstackError(f"the run is {state}: {', '.join(red)}; see its logs at {api.base_url}")


def _sample(stores: Installation) -> ObjectKey:
    """Return the key of a transcript that the next run would compress."""
    rule, now = ColdObjects(classes=("transcripts",), prefixes=(Prefix("processed/"),)), utcnow()
    for action in rule.plan(rule.select(stores, now), now):
        if getattr(action, "verb", "") == "compress" and action.key.endswith(".json"):
            return ObjectKey(action.key)
    raise DevstackError("no transcript of the sample is cold; run `make demo` with more jobs (JOBS=600)")


def _listing(servers: stack.Stack) -> Seen:
    """Return stored size and storage class of every object version, listed by an independent client."""
    env = servers.env()
    s3: Any = boto3.client(
        "s3",
        endpoint_url=env["STORAGE_ENDPOINT_URL"],
        region_name=env["STORAGE_REGION"],
        aws_access_key_id=env["STORAGE_ACCESS_KEY"],
        aws_secret_access_key=env["STORAGE_SECRET_KEY"],
    )
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=env["STORAGE_BUCKET"])
    return {
        f"{version['Key']} {version['VersionId']}": (version["Size"], version.get("StorageClass", "STANDARD"))
        for page in pages
        for version in page.get("Versions", ())
    }


def _fetched(url: str) -> str:
    """Return the SHA-256 of what ``curl --compressed`` downloads from the link; '' without curl."""
    program = shutil.which("curl")
    if program is None:
        return ""
    done = subprocess.run(
        [program, "--silent", "--fail", "--compressed", "--noproxy", "*", url],
        capture_output=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise DevstackError(f"curl ended with {done.returncode} on the link of an object")
    return hashlib.sha256(done.stdout).hexdigest()


def _judge(before: Seen, after: Seen, ledger: int, key: ObjectKey, hashes: tuple[str, str, str]) -> bool:
    listings = sum(size_ for size_, _ in before.values()) - sum(size_ for size_, _ in after.values())
    moved = sum(kind != "STANDARD" for _, kind in after.values())
    was, now, read = hashes
    curl = (
        "the same bytes by curl --compressed, before and after" if was else "skipped, no curl on this machine"
    )
    facts = {
        "bytes saved, by two listings of all versions": (size(listings), listings == ledger),
        "objects in a colder tier, by the same listing": (f"{moved:,}", moved > 0),
        f"{Path(key).name}: {curl}": ("", was == now),
        f"{Path(key).name}: the same bytes by `storage get`": ("", read == (was or read)),
    }
    table = Table("the ledger, and one object through one link", "", "", title_justify="left")
    for fact, (count, right) in facts.items():
        table.add_row(fact, count, "[green]correct[/]" if right else "[bold red]WRONG[/]")
    out.print(table)
    return all(right for _, right in facts.values())

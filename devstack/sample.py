"""Sample data: a video pipeline after some months of use, with all the cases that make its clean-up hard.

    python -m devstack.sample [--jobs 600] [--seed 7] [--as-of ISO] [--store-folder DIR]

reads STORAGE_ENDPOINT_URL, STORAGE_REGION, STORAGE_ACCESS_KEY, STORAGE_SECRET_KEY, STORAGE_BUCKET,
STORAGE_DATABASE_URL and STORAGE_TEMP_DIR. The same jobs, seed and as-of always generate an equal sample.

Ages in the store: MinIO and its forks accept them with each upload. For ministack give its S3_DATA_DIR as
`--store-folder`: the ages are written into its files and take effect at its next start. That restart drops
open multipart uploads, so begin them afterwards with `--only-open-uploads` and the same jobs, seed and as-of.
Ages in the temp folder: see devstack/sample_temp.py.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy.exc import SQLAlchemyError

from devstack.errors import DevstackError
from devstack.sample_content import Contents
from devstack.sample_jobs import make_api_keys, make_jobs
from devstack.sample_objects import make_objects, make_open_uploads
from devstack.sample_rows import Database
from devstack.sample_store import back_date_ministack, put_objects, put_open_uploads
from devstack.sample_temp import make_temp, write_temp
from devstack.sample_values import STATUSES, BackDate, Sample, Summary

__all__ = ["BackDate", "Sample", "Summary", "back_date_ministack", "generate", "load", "open_uploads"]

MINIMUM = 10
_NEEDED = (
    *("STORAGE_ENDPOINT_URL", "STORAGE_ACCESS_KEY", "STORAGE_SECRET_KEY", "STORAGE_BUCKET"),
    *("STORAGE_DATABASE_URL", "STORAGE_TEMP_DIR"),
)


def generate(jobs: int, seed: int, as_of: datetime) -> Sample:
    """Generate the whole sample as a value, without any I/O."""
    if jobs < MINIMUM:
        raise DevstackError(f"a sample needs at least {MINIMUM} jobs to hold every case, not {jobs}")

    def stream(name: str) -> random.Random:
        # One random stream per part, so that a change in one part does not alter the others.
        return random.Random(f"{seed}/{name}")

    keys = make_api_keys(stream("keys"))
    rows = make_jobs(jobs, stream("jobs"), keys, as_of)
    return Sample(
        as_of=as_of,
        api_keys=keys,
        jobs=rows,
        objects=make_objects(rows, stream("objects"), as_of),
        open_uploads=make_open_uploads(rows, stream("uploads")),
        temp=make_temp(rows, stream("temp"), as_of),
    )


def load(spec: Sample, env: Mapping[str, str], back_date: BackDate) -> Summary:
    """Load the sample into the store, the database and the temp folder that `env` names.

    With BackDate.FILES the multipart uploads are left out: the restart that follows would drop them.
    """
    _check(env)
    began = time.monotonic()
    contents, database = Contents(), Database(env)
    try:
        database.prepare()
        size, refused = put_objects(env, spec.objects, contents, back_date)
        # Rows after objects: as long as there are no rows, a failed load can simply be repeated.
        database.insert(spec, contents)
    finally:
        database.close()
    counts = Counter(job.status for job in spec.jobs)
    return Summary(
        api_keys=len(spec.api_keys),
        jobs=len(spec.jobs),
        by_status=tuple((status, counts[status]) for status in STATUSES),
        objects=len(spec.objects) - len(refused),
        object_bytes=size,
        refused=refused,
        open_uploads=0 if back_date is BackDate.FILES else open_uploads(spec, env),
        temp_entries=write_temp(spec.temp, Path(env["STORAGE_TEMP_DIR"])),
        seconds=round(time.monotonic() - began, 2),
    )


def open_uploads(spec: Sample, env: Mapping[str, str]) -> int:
    """Begin the sample's multipart uploads and leave them open; return how many."""
    _check(env)
    return put_open_uploads(env, spec.open_uploads)


def _check(env: Mapping[str, str]) -> None:
    missing = [name for name in _NEEDED if not env.get(name)]
    if missing:
        raise DevstackError(f"set {', '.join(missing)}; `python -m devstack env` prints them")


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m devstack.sample", description="Load sample data.")
    parser.add_argument("--jobs", type=int, default=600)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--as-of", type=_moment, default=None, metavar="ISO", help="default: now")
    parser.add_argument(
        "--store-folder", type=Path, default=None, metavar="DIR", help="ministack's S3_DATA_DIR"
    )
    parser.add_argument(
        "--only-open-uploads",
        action="store_true",
        help="only begin the open uploads, after ministack's restart",
    )
    return parser.parse_args(arguments)


def _report(summary: Summary) -> None:
    statuses = ", ".join(f"{count} {status}" for status, count in summary.by_status)
    print(f"jobs         {summary.jobs} ({statuses}), {summary.api_keys} API keys")
    print(f"objects      {summary.objects}, {summary.object_bytes / 1024**2:.1f} MiB")
    print(f"             {len(summary.refused)} keys refused by the store")
    print(f"open uploads {summary.open_uploads}")
    print(f"temp entries {summary.temp_entries}")
    print(f"seconds      {summary.seconds}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = _arguments(arguments)
    try:
        spec = generate(options.jobs, options.seed, options.as_of or datetime.now(UTC))
        if options.only_open_uploads:
            print(f"open uploads {open_uploads(spec, os.environ)}")
            return 0
        folder = options.store_folder
        summary = load(spec, os.environ, BackDate.FILES if folder else BackDate.HEADER)
        if folder:
            dated = back_date_ministack(folder, spec.dates(), os.environ["STORAGE_BUCKET"])
            print(f"dated        {dated} objects; restart ministack, then run with --only-open-uploads")
    except (DevstackError, BotoCoreError, ClientError, SQLAlchemyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    _report(summary)
    return 0


if __name__ == "__main__":
    sys.exit(main())

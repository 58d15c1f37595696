"""Commands ``storage get`` and ``storage decompress``."""

from __future__ import annotations

import re
import uuid
from argparse import Namespace
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, BinaryIO

from rich.table import Column, Table

from storage.cli import output, output_file
from storage.cli.common import add_verb, settings, who
from storage.cold import decompressing_reader
from storage.cold.decompress import uncompress, unfinished
from storage.cold.errors import ContentDamaged
from storage.cold.journal import PROCESSED
from storage.cold.model import compression_of
from storage.cold.ports import ColdStores
from storage.core.errors import EXIT_FAILED, ObjectMissing, UsageError
from storage.core.model import JobId, ObjectKey, Outcome, Prefix
from storage.engine import guard
from storage.installation import open_installation

THREADS = 16  # concurrent HEAD requests
LOOK_UP = 1000  # keys per lookup of cold records
SHOWN = 20  # objects listed individually
RUN = "by hand"  # prefix of the run id in the ledger's entries; a random suffix follows


def add_parser(verbs: Any) -> None:
    """Add ``storage get`` and ``storage decompress`` to the command-line parser."""
    command = add_verb(verbs, "get", "read an object's original bytes, however it is stored", get)
    command.add_argument("key", metavar="KEY")
    command.add_argument(
        "-o", "--output", default="", metavar="FILE", help="write to this file, not to stdout"
    )
    command.add_argument(
        "--range", default="", metavar="A-B", help="only bytes A to B (inclusive; A-: to the end)"
    )
    command = add_verb(verbs, "decompress", "replace compressed objects with their originals", decompress)
    command.add_argument("keys", nargs="*", metavar="KEY")
    command.add_argument("--job", default="", metavar="JOB", help="all compressed objects of a job")
    command.add_argument(
        "--apply", action="store_true", help="make the changes; without it they are only listed"
    )


def get(args: Namespace) -> int:
    """Write the object's checked bytes. A damaged object raises; a file appears only once it is complete."""
    start, length = _range(args.range)
    if args.json and not args.output:
        raise UsageError("With --json, name a file for the bytes: -o FILE.")
    key = ObjectKey(args.key)
    with open_installation(settings()) as stores:
        with output_file.sink(args.output) as sink:
            size = _copy(decompressing_reader.read(stores.replacer, key, start, length), sink)
        stores.cold.touch([key], stores.clock())
    if args.json:
        output.emit_json({"key": key, "file": args.output, "bytes": size})
    return 0


def _range(text: str) -> tuple[int, int | None]:
    """Parse ``A-B`` into start and length. Raises UsageError."""
    if not text:
        return 0, None
    found = re.fullmatch(r"(\d{1,18})-(\d{0,18})", text)
    if not found or (found[2] and int(found[2]) < int(found[1])):
        raise UsageError(f"--range is {text!r}; write it like 0-499, or 500- for everything from byte 500.")
    start = int(found[1])
    return start, int(found[2]) - start + 1 if found[2] else None


def _copy(pieces: Iterable[bytes], sink: BinaryIO) -> int:
    size = 0
    for piece in pieces:
        sink.write(piece)
        size += len(piece)
    sink.flush()
    return size


def decompress(args: Namespace) -> int:
    """List compressed objects; with --apply restore the originals. Exit 1 if any could not be restored."""
    if bool(args.keys) == bool(args.job):
        raise UsageError("Name either objects, or a job with --job.")
    with open_installation(settings()) as stores:
        found = list(_compressed(stores, _keys(stores, args)))
        outcomes = list(_restore(stores, found)) if args.apply else []
    if args.json:
        output.emit_json({"objects": found, "outcomes": outcomes})
    else:
        _show(found, outcomes, applied=args.apply)
    return EXIT_FAILED if any(outcome["status"] == "failed" for outcome in outcomes) else 0


def _keys(stores: ColdStores, args: Namespace) -> Iterator[ObjectKey]:
    if args.job:
        yield from (info.key for info in stores.objects.scan(Prefix(f"{PROCESSED}{JobId(args.job)}/")))
    else:
        yield from map(ObjectKey, args.keys)


def _compressed(stores: ColdStores, keys: Iterable[ObjectKey]) -> Iterator[dict[str, Any]]:
    """Yield the objects that were compressed by `storage`, that are damaged or missing, or whose restore was
    killed after the object was replaced and before the ledger entry."""
    stream = iter(keys)
    with ThreadPoolExecutor(THREADS) as pool:
        while chunk := list(islice(stream, LOOK_UP)):
            begun = unfinished(stores, chunk)
            for found in pool.map(lambda key: _look(stores, key), chunk):
                if found["codec"] or found["wrong"] or found["key"] in begun:
                    yield found


def _look(stores: ColdStores, key: ObjectKey) -> dict[str, Any]:
    try:
        now = stores.replacer.details(key)
        compression = compression_of(key, now.attributes)
    except (ObjectMissing, ContentDamaged) as error:
        return {"key": key, "stored": None, "original": None, "codec": "", "wrong": str(error)}
    if compression is None:
        return {"key": key, "stored": now.info.size, "original": now.info.size, "codec": "", "wrong": ""}
    return {
        "key": key,
        "stored": now.info.size,
        "original": compression.size,
        "codec": compression.codec,
        "wrong": "",
    }


def _restore(stores: ColdStores, found: Iterable[dict[str, Any]]) -> Iterator[dict[str, str]]:
    guard.check_environment(stores, stores.clock())
    run_id, done = f"{RUN} {uuid.uuid4().hex[:8]}", 0
    for item in found:
        guard.running(stores)
        key = ObjectKey(item["key"])
        outcome = Outcome("failed", item["wrong"]) if item["wrong"] else uncompress(stores, key, run_id)
        done += outcome.status == "done"
        yield {"key": key, "status": outcome.status, "why": outcome.detail}
    stores.audit.record("decompress", run_id, {"done": done, "by": who()})


def _show(found: list[dict[str, Any]], outcomes: list[dict[str, str]], *, applied: bool) -> None:
    table = Table(Column("object", overflow="fold"), "stored", "original", "codec", "result")
    results = {item["key"]: f"{item['status']} {item['why']}".strip() for item in outcomes}
    for item in found[:SHOWN]:
        sizes = ("-", "-") if item["wrong"] else (output.size(item["stored"]), output.size(item["original"]))
        result = results.get(item["key"], item["wrong"])
        table.add_row(output.shown(item["key"]), *sizes, item["codec"], output.shown(result))
    if not found:
        output.out.print("None of these objects is compressed by `storage`.")
        return
    output.out.print(table)
    if len(found) > SHOWN:
        output.out.print(f"... and {len(found) - SHOWN:,} more; --json lists all.")
    if not applied:
        output.out.print("Nothing was changed; --apply restores the originals.")

"""What ``storage get`` and ``storage decompress`` do, and their part of the parser."""

from __future__ import annotations

import re
import sys
import uuid
from argparse import Namespace
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from rich.table import Column, Table

from storage.cli import output
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

THREADS = 16  # looks at once
LOOK_UP = 1000  # memories asked for together
SHOWN = 20  # objects told of one by one
RUN = "by hand"  # the run of the ledger's entries is this and a word of its own


def add_parser(verbs: Any) -> None:
    """``storage get`` and ``storage decompress``."""
    one = add_verb(verbs, "get", "an object's original bytes, however it is stored", get)
    one.add_argument("key", metavar="KEY")
    one.add_argument("-o", "--output", default="", metavar="FILE", help="into this file, not to stdout")
    one.add_argument(
        "--range", default="", metavar="A-B", help="only bytes A to B (both counted; A-: to the end)"
    )
    one = add_verb(verbs, "decompress", "put originals back in the place of what was compressed", decompress)
    one.add_argument("keys", nargs="*", metavar="KEY")
    one.add_argument("--job", default="", metavar="JOB", help="all compressed objects of a job")
    one.add_argument("--apply", action="store_true", help="do it; without, it is only shown")


def get(args: Namespace) -> int:
    """The bytes, checked; what is damaged ends in an error, and a file appears only when it is whole."""
    start, length = _range(args.range)
    if args.json and not args.output:
        raise UsageError("With --json the bytes need a file: -o FILE.")
    key = ObjectKey(args.key)
    with open_installation(settings()) as stores:
        with _sink(args.output) as sink:
            size = _copy(decompressing_reader.read(stores.replacer, key, start, length), sink)
        stores.cold.touch([key], stores.clock())
    if args.json:
        output.emit_json({"key": key, "file": args.output, "bytes": size})
    return 0


def _range(text: str) -> tuple[int, int | None]:
    """Start and length of ``A-B``. Raises UsageError."""
    if not text:
        return 0, None
    found = re.fullmatch(r"(\d{1,18})-(\d{0,18})", text)
    if not found or (found[2] and int(found[2]) < int(found[1])):
        raise UsageError(f"--range is {text!r}; it looks like 0-499, or 500- for all from there on.")
    start = int(found[1])
    return start, int(found[2]) - start + 1 if found[2] else None


def _copy(pieces: Iterable[bytes], sink: BinaryIO) -> int:
    size = 0
    for piece in pieces:
        sink.write(piece)
        size += len(piece)
    sink.flush()
    return size


@contextmanager
def _sink(path: str) -> Iterator[BinaryIO]:
    """stdout; or a file that takes its name when all is in it, and is not there otherwise."""
    if path in ("", "-"):
        yield sys.stdout.buffer
        return
    target = Path(path)
    if target.is_dir():
        raise UsageError(f"-o {path} is a folder; name a file in it.")
    with TemporaryDirectory(dir=target.parent, prefix=".storage-get-") as folder:
        part = Path(folder) / "part"
        with part.open("xb") as file:
            yield file
        part.replace(target)


def decompress(args: Namespace) -> int:
    """Show what is compressed, and with --apply put the originals back; red where one could not be."""
    if bool(args.keys) == bool(args.job):
        raise UsageError("Name objects, or a job by --job: one of the two.")
    with open_installation(settings()) as stores:
        found = list(_compressed(stores, _keys(stores, args)))
        outcomes = list(_restore(stores, found)) if args.apply else []
    if args.json:
        output.emit_json({"objects": found, "outcomes": outcomes})
    else:
        _show(found, outcomes, applied=args.apply)
    return EXIT_FAILED if any(one["status"] == "failed" for one in outcomes) else 0


def _keys(stores: ColdStores, args: Namespace) -> Iterator[ObjectKey]:
    if args.job:
        yield from (info.key for info in stores.objects.scan(Prefix(f"{PROCESSED}{JobId(args.job)}/")))
    else:
        yield from map(ObjectKey, args.keys)


def _compressed(stores: ColdStores, keys: Iterable[ObjectKey]) -> Iterator[dict[str, Any]]:
    """Each object that says it was compressed by us, that something is wrong with, or that an earlier try
    restored and was killed before it could enter that."""
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
    for one in found:
        guard.running(stores)
        key = ObjectKey(one["key"])
        made = Outcome("failed", one["wrong"]) if one["wrong"] else uncompress(stores, key, run_id)
        done += made.status == "done"
        yield {"key": key, "status": made.status, "why": made.detail}
    stores.audit.record("decompress", run_id, {"done": done, "by": who()})


def _show(found: list[dict[str, Any]], outcomes: list[dict[str, str]], *, applied: bool) -> None:
    table = Table(Column("object", overflow="fold"), "stored", "original", "codec", "became")
    became = {one["key"]: f"{one['status']} {one['why']}".strip() for one in outcomes}
    for one in found[:SHOWN]:
        sizes = ("-", "-") if one["wrong"] else (output.size(one["stored"]), output.size(one["original"]))
        what = became.get(one["key"], one["wrong"])
        table.add_row(output.shown(one["key"]), *sizes, one["codec"], output.shown(what))
    if not found:
        output.out.print("Nothing of it is compressed by `storage`.")
        return
    output.out.print(table)
    if len(found) > SHOWN:
        output.out.print(f"... and {len(found) - SHOWN:,} more; --json shows every one.")
    if not applied:
        output.out.print("Nothing was changed: --apply puts the originals back.")

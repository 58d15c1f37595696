"""Contestants that compress: ``python -m tests.benchmarks.cold_contestants NAME``

As :mod:`tests.benchmarks.contestants`. Requests and received bytes are counted below every client, at
Python's own HTTP connections and sockets, and written as JSON to the file READ in TMPDIR.
"""

from __future__ import annotations

import atexit
import http.client
import json
import socket
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from storage.installation import open_installation
from tests.benchmarks import contestants
from tests.benchmarks.contestants import Work, main, settings

READ = "read.json"
PREFIX = "processed/"


class Meter:
    """Counter of requests, of bytes received by sockets, and of body bytes of the GETs of each key."""

    def __init__(self) -> None:
        self.requests = self.received = 0
        self.bodies: Counter[str] = Counter()

    def start(self) -> None:
        """Start counting. A body counts in full, also when a client leaves some of it unread."""
        put, answer, receive = (
            http.client.HTTPConnection.putrequest,
            http.client.HTTPConnection.getresponse,
            socket.socket.recv_into,
        )

        def putrequest(connection: Any, method: str, url: str, *rest: Any, **named: Any) -> None:
            connection.asked = method, url
            self.requests += 1
            put(connection, method, url, *rest, **named)

        def getresponse(connection: Any) -> Any:
            reply = answer(connection)
            method, url = connection.asked
            if method == "GET":
                self.bodies[unquote(urlsplit(url).path)] += reply.length or 0
            return reply

        def recv_into(one: Any, *rest: Any) -> int:
            size = receive(one, *rest)
            self.received += size
            return size

        http.client.HTTPConnection.putrequest = putrequest  # type: ignore[method-assign, assignment]
        http.client.HTTPConnection.getresponse = getresponse  # type: ignore[method-assign]
        socket.socket.recv_into = recv_into  # type: ignore[method-assign, assignment]

    def tell(self) -> None:
        """Write the counts where the benchmark reads them."""
        contestants.requests = self.requests
        bucket = f"/{settings().bucket}/"
        bodies = {path.removeprefix(bucket): size for path, size in self.bodies.items()}
        reply = {"received": self.received, "bodies": bodies}
        Path(tempfile.gettempdir(), READ).write_text(json.dumps(reply))


def documents() -> Work:
    """Download every object, compress it with gzip -9 and overwrite it."""
    import gzip
    import io

    from storage.connect import endpoint

    where, meter = settings(), Meter()
    client, bucket = endpoint(where).minio(), where.bucket
    client.bucket_exists(bucket)

    def one(key: str) -> None:
        answer = client.get_object(bucket, key)
        with answer:
            packed = gzip.compress(answer.read(), 9)
        client.put_object(bucket, key, io.BytesIO(packed), len(packed), metadata={"Content-Encoding": "gzip"})

    def work() -> int:
        meter.start()
        keys = [str(f.object_name) for f in client.list_objects(bucket, prefix=PREFIX, recursive=True)]
        for key in keys:
            one(key)
        meter.tell()
        return len(keys)

    return work


def engine() -> Work:
    """Run the maintenance job cold_storage: plan, apply, verify and record."""
    from storage import catalog
    from storage.core.clock import utcnow
    from storage.engine.sweep import plan
    from tests.support.runs import apply

    stack = ExitStack()
    atexit.register(stack.close)
    stores = stack.enter_context(open_installation(settings()))
    stores.objects.boto  # type: ignore[attr-defined] # noqa: B018 - imported before the measured work

    def work() -> int:
        meter = Meter()
        meter.start()
        planned = plan(catalog.get("cold_storage"), stores, utcnow(), requested_by="benchmark")
        done = apply(planned.id, stores, by="benchmark")
        assert done.state == "verified", done
        meter.tell()
        return done.done.count

    return work


ALL = {one.__name__: one for one in (documents, engine)}


if __name__ == "__main__":
    sys.exit(main(ALL))

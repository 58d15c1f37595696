"""Reads of a compressed object through a presigned URL, by program: the documentation's table, measured."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Mapping
from html import unescape
from pathlib import Path

import pytest
import zstandard

from storage.cold import codecs, decompressing_reader
from storage.cold import compress as rewrite
from storage.core.model import ObjectKey
from storage.core.tiers import CODECS, CodecName
from storage.installation import open_installation
from tests.conftest import Place

PAGE = Path(__file__).parents[3] / "docs" / "reading-compressed-objects.md"
TEXT = b"".join(b"%06d: what was said, and then what was said\n" % n for n in range(8000))
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TIMEOUT = 12  # seconds
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
Read = Callable[[str], bytes]


def by_urllib(url: str, **headers: str) -> bytes:
    with _DIRECT.open(urllib.request.Request(url, headers=headers), timeout=30) as answer:
        return bytes(answer.read())


def curl(*options: str) -> Read:
    def read(url: str) -> bytes:
        argv = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "30", *options, url]
        return subprocess.run(argv, capture_output=True, check=True, timeout=40).stdout

    return read


READERS: Mapping[str, Read] = {
    "curl --compressed": curl("--compressed"),
    "curl": curl(),
    "Python urllib": by_urllib,
}


def chromium(url: str, profile: Path) -> bytes:
    """Return the text of the page that Chromium makes of the URL; b"" where it makes none and hangs."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser here: none of {', '.join(BROWSERS)} is on PATH")
    argv = [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    argv += ["--no-proxy-server", f"--user-data-dir={profile}", "--dump-dom", url]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as process:
        try:
            shown = process.communicate(timeout=TIMEOUT)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return b""
    return unescape(shown.rpartition("<pre")[2].partition(">")[2].partition("</pre>")[0]).encode()


def seen(read: Read, url: str, form: bytes) -> str:
    """Return what the reader gets, in the table's terms."""
    try:
        found = read(url)
    except subprocess.CalledProcessError:
        return "refused"
    return {TEXT: "original", form: "compressed"}.get(found, "unreadable")  # also an empty answer


def table() -> dict[tuple[str, str], str]:
    """Return the documentation's table: (reader, codec) to what that reader gets."""
    rows = [line.strip("|\n ").split("|") for line in PAGE.read_text().splitlines() if line.startswith("|")]
    head, _, *body = [[cell.strip() for cell in row] for row in rows]
    return {(row[0], codec): cell for row in body for codec, cell in zip(head[1:], row[1:], strict=True)}


def compressed(place: Place, codec: CodecName) -> tuple[str, bytes]:
    """Store and compress an object; return a presigned URL of it and the stored bytes."""
    key = ObjectKey("processed/job-1/transcription/said.txt")
    answer = place.boto.put_object(Bucket=place.settings.bucket, Key=key, Body=TEXT, ContentType="text/plain")
    with open_installation(place.settings) as stores:
        made = rewrite.compress(stores.replacer, key, len(TEXT), answer["ETag"].strip('"'), codec)
        assert made.status == "done", made
        assert b"".join(decompressing_reader.read(stores.replacer, key)) == TEXT
        with stores.replacer.open(key) as stream:
            return presigned(place, key), stream.read()


def presigned(place: Place, key: str) -> str:
    words = {"Bucket": place.settings.bucket, "Key": key}
    return str(place.boto.generate_presigned_url("get_object", words))


@pytest.mark.parametrize("codec", CODECS)
def test_programs_see_what_the_table_says(place: Place, codec: CodecName) -> None:
    url, form = compressed(place, codec)
    found = {(name, codec): seen(read, url, form) for name, read in READERS.items()}
    ranged = by_urllib(url, Range="bytes=10-99")
    found["a range, by any of them", codec] = "compressed" if ranged == form[10:100] else "original"
    written = table()
    assert found == {one: written[one] for one in found}
    assert {reader for reader, _ in written} - {reader for reader, _ in found} == {"Chromium"}


@pytest.mark.parametrize("codec", CODECS)
def test_a_browser_sees_what_the_table_says(place: Place, codec: CodecName, tmp_path: Path) -> None:
    url, form = compressed(place, codec)
    assert seen(lambda url: chromium(url, tmp_path), url, form) == table()["Chromium", codec]


@pytest.mark.parametrize(("bits", "shown"), [(codecs.WINDOW, True), (codecs.WIDEST, False)])
def test_a_browser_takes_our_window_and_no_wider_one(
    place: Place, bits: int, shown: bool, tmp_path: Path
) -> None:
    words = zstandard.ZstdCompressionParameters.from_level(3, window_log=bits, enable_ldm=True)
    stream = zstandard.ZstdCompressor(compression_params=words).compressobj()
    form = stream.compress(TEXT) + stream.flush()
    assert zstandard.get_frame_parameters(form).window_size == 1 << bits
    place.boto.put_object(
        Bucket=place.settings.bucket, Key="wide", Body=form, ContentType="text/plain", ContentEncoding="zstd"
    )
    assert (chromium(presigned(place, "wide"), tmp_path) == TEXT) is shown

"""Parsing of listing pages, and writing and parsing of bulk deletes, the two hot S3 documents.

Parsing a page costs an eighth of what a general client needs, because it builds only our objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from urllib.parse import unquote_plus
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from storage.core.model import DeleteTarget, Failure, ObjectInfo, ObjectKey, Page

_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_LINE_ENDS = {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}


def page(document: bytes) -> Page:
    """Parse a ListObjectsV2 response."""
    root = ElementTree.fromstring(document)
    space, coded = _space(root), _text(root, "EncodingType") == "url"
    objects = tuple(_object(entry, space, coded) for entry in root.iter(f"{space}Contents"))
    return Page(objects, _text(root, "IsTruncated") == "true")


@dataclass(frozen=True, slots=True)
class Version:
    """An entry of a ListObjectVersions response."""

    info: ObjectInfo
    id: str
    newest: bool
    marker: bool


@dataclass(frozen=True, slots=True)
class Versions:
    """A ListObjectVersions response; ``markers`` are the query parameters of the next page."""

    entries: tuple[Version, ...]
    markers: dict[str, str]


def versions(document: bytes) -> Versions:
    root = ElementTree.fromstring(document)
    space, coded = _space(root), _text(root, "EncodingType") == "url"
    entries = tuple(
        _version(entry, space, coded)
        for entry in root
        if entry.tag in (f"{space}Version", f"{space}DeleteMarker")
    )
    if _text(root, "IsTruncated") != "true":
        return Versions(entries, {})
    key, version = _text(root, "NextKeyMarker"), _text(root, "NextVersionIdMarker")
    markers = {"key-marker": unquote_plus(key) if coded else key}
    return Versions(entries, markers | ({"version-id-marker": version} if version else {}))


def current(entries: Iterable[Version]) -> list[ObjectInfo]:
    """Build the current objects from version entries, in key order, version ids newest first.

    A key whose newest entry is a delete marker has no current object.
    """
    found = []
    for _, group in groupby(sorted(entries, key=lambda e: e.info.key), key=lambda e: e.info.key):
        members = list(group)
        newest = next((entry for entry in members if entry.newest), None)
        if newest and not newest.marker:
            found.append(replace(newest.info, versions=tuple(entry.id for entry in members)))
    return found


def _object(entry: ElementTree.Element, space: str, coded: bool) -> ObjectInfo:
    value = {child.tag[len(space) :]: child.text or "" for child in entry}
    return ObjectInfo(
        ObjectKey(unquote_plus(value["Key"]) if coded else value["Key"]),
        int(value["Size"]),
        to_second(datetime.fromisoformat(value["LastModified"])),
        value.get("ETag", "").strip('"'),
        value.get("StorageClass") or "STANDARD",
    )


def _version(entry: ElementTree.Element, space: str, coded: bool) -> Version:
    marker = entry.tag == f"{space}DeleteMarker"
    when = datetime.fromisoformat(entry.findtext(f"{space}LastModified") or "1970-01-01T00:00:00Z")
    info = (
        ObjectInfo(ObjectKey(_key(entry, space, coded)), 0, when, "")
        if marker
        else _object(entry, space, coded)
    )
    newest = entry.findtext(f"{space}IsLatest") == "true"
    return Version(info, entry.findtext(f"{space}VersionId") or "null", newest, marker)


def delete_body(targets: Iterable[DeleteTarget], conditional: bool) -> bytes:
    """Build a quiet DeleteObjects request, with version ids if any; ``conditional`` sends the etag."""
    entries = "".join(_entry(target, conditional) for target in targets)
    return f'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet>{entries}</Delete>'.encode()


def fits_xml(key: str) -> bool:
    """Return True if XML 1.0 can encode the key: most control characters it cannot, even escaped."""
    return not _UNFIT.search(key)


def _entry(target: DeleteTarget, conditional: bool) -> str:
    key = f"<Key>{escape(target.key, _LINE_ENDS)}</Key>"
    if target.versions:
        return "".join(f"<Object>{key}<VersionId>{escape(v)}</VersionId></Object>" for v in target.versions)
    etag = f"<ETag>{escape(target.etag)}</ETag>" if conditional and target.etag else ""
    return f"<Object>{key}{etag}</Object>"


def failures(document: bytes) -> Iterator[Failure]:
    """Yield the errors in a DeleteObjects response, whose status is 200 even so."""
    if not document.strip():
        return
    root = ElementTree.fromstring(document)
    space = _space(root)
    for error in root.iter(f"{space}Error"):
        code = error.findtext(f"{space}Code") or ""
        if code != "NoSuchKey":
            yield Failure(error.findtext(f"{space}Key") or "", code, error.findtext(f"{space}Message") or "")


def to_second(moment: datetime) -> datetime:
    """Truncate to seconds: a listing has milliseconds, a HEAD only seconds, and both are compared."""
    return moment.replace(microsecond=0)


def _key(entry: ElementTree.Element, space: str, coded: bool) -> str:
    text = entry.findtext(f"{space}Key") or ""
    return unquote_plus(text) if coded else text


def _space(root: ElementTree.Element) -> str:
    return root.tag[: root.tag.index("}") + 1] if root.tag.startswith("{") else ""


def _text(root: ElementTree.Element, name: str) -> str:
    return root.findtext(f"{_space(root)}{name}") or ""

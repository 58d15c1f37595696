"""Parsing of listing pages, and writing and parsing of bulk deletes, the two hot S3 documents.

Parsing a page costs an eighth of what a general client needs, because it builds only our objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Generic, TypeVar
from urllib.parse import unquote_plus
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from storage.core.deletion import DeleteTarget, Failure
from storage.core.model import ObjectInfo, ObjectKey
from storage.stores.s3.rights import right

_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
Entry = TypeVar("Entry")
_LINE_ENDS = {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}


@dataclass(frozen=True, slots=True)
class Response(Generic[Entry]):
    """A listing response. ``cursor``: the query parameters of the next one, empty if the store sent none."""

    entries: tuple[Entry, ...]
    more: bool
    cursor: dict[str, str]


def page(document: bytes) -> Response[ObjectInfo]:
    """Parse a ListObjectsV2 response. Raises ParseError, KeyError or ValueError for any other document."""
    root = _listing(document)
    space, coded = _space(root), _text(root, "EncodingType") == "url"
    objects = tuple(_object(entry, space, coded) for entry in root.iter(f"{space}Contents"))
    token = _text(root, "NextContinuationToken")
    return Response(objects, _truncated(root), {"continuation-token": token} if token else {})


@dataclass(frozen=True, slots=True)
class Version:
    """An entry of a ListObjectVersions response."""

    info: ObjectInfo
    id: str
    newest: bool
    marker: bool


def versions(document: bytes) -> Response[Version]:
    """Parse a ListObjectVersions response. Raises ParseError, KeyError or ValueError for any other."""
    root = _listing(document)
    space, coded = _space(root), _text(root, "EncodingType") == "url"
    entries = tuple(
        _version(entry, space, coded)
        for entry in root
        if entry.tag in (f"{space}Version", f"{space}DeleteMarker")
    )
    key, version = _text(root, "NextKeyMarker"), _text(root, "NextVersionIdMarker")
    cursor = {"key-marker": unquote_plus(key) if coded else key} if key else {}
    return Response(
        entries, _truncated(root), cursor | ({"version-id-marker": version} if key and version else {})
    )


def current(entries: Iterable[Version]) -> list[ObjectInfo]:
    """Build the current objects from version entries, in key order, version ids newest first.

    A key whose newest entry is a delete marker has no current object.
    """
    found = []
    for _, group in groupby(sorted(entries, key=lambda e: e.info.key), key=lambda e: e.info.key):
        members = list(group)
        newest = next((entry for entry in members if entry.newest), None)
        if newest and not newest.marker:
            ids = dict.fromkeys(entry.id for entry in members)  # a page may repeat the version it starts at
            found.append(replace(newest.info, versions=tuple(ids)))
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
            message = error.findtext(f"{space}Message") or ""
            lacks = f"{message} The key needs the right {right('DeleteObjects')}."
            failed = error.findtext(f"{space}Key") or ""
            yield Failure(failed, code, lacks if code == "AccessDenied" else message)


def to_second(moment: datetime) -> datetime:
    """Truncate to seconds: a listing has milliseconds, a HEAD only seconds, and both are compared."""
    return moment.replace(microsecond=0)


def _key(entry: ElementTree.Element, space: str, coded: bool) -> str:
    text = entry.findtext(f"{space}Key") or ""
    return unquote_plus(text) if coded else text


def _listing(document: bytes) -> ElementTree.Element:
    """Return the root of a listing. An error page of a proxy is XML too, and must not pass as empty."""
    root = ElementTree.fromstring(document)
    if root.find(f"{_space(root)}IsTruncated") is None:
        raise ValueError(f"{root.tag} is no listing")
    return root


def _truncated(root: ElementTree.Element) -> bool:
    return _text(root, "IsTruncated") == "true"


def _space(root: ElementTree.Element) -> str:
    return root.tag[: root.tag.index("}") + 1] if root.tag.startswith("{") else ""


def _text(root: ElementTree.Element, name: str) -> str:
    return root.findtext(f"{_space(root)}{name}") or ""

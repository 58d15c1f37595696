"""Split a bucket's lifecycle configuration, as bytes, into its rules, and reassemble it.

Nothing is serialized again from its parsed form: rules that are not replaced keep their exact bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from storage.lifecycle.errors import LifecycleUnreadable

SPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
OURS = "storage-platform:"  # id prefix of all rules of ours
_EMPTY = f'<LifecycleConfiguration xmlns="{SPACE}">', "</LifecycleConfiguration>"


@dataclass(slots=True)
class Node:
    """XML element by its local name, with its own text and its byte offsets in the document."""

    name: str
    attributes: Mapping[str, str]
    start: int
    end: int = 0
    text: str = ""
    children: list[Node] = field(default_factory=list)

    def all(self, name: str) -> list[Node]:
        return [child for child in self.children if child.name == name]

    def leaves(self, path: str = "") -> Iterator[str]:
        """Yield each element without children as ``Filter/Prefix=temp/``."""
        here = f"{path}/{self.name}" if path else self.name
        if not self.children and not self.says_nothing:
            yield f"{here}={self.text.strip()}"
        for child in self.children:
            yield from child.leaves(here)

    def meaning(self) -> tuple[Any, ...]:
        """Return a value equal for elements that differ only in order, spaces, comments and name spaces."""
        text = "" if self.children else self.text.strip()
        answer = (child.meaning() for child in self.children if not child.says_nothing)
        return self.name, text, tuple(sorted(answer))

    @property
    def says_nothing(self) -> bool:
        """Return True if the element means the same as its absence: an empty prefix, filter or value."""
        named = self.name in ("Filter", "And", "Prefix", "Value")
        return named and not self.text.strip() and all(child.says_nothing for child in self.children)


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of the document: a rule, or those between two rules. ``id`` is "" for a rule without one."""

    raw: bytes
    node: Node | None = None
    id: str = ""

    @property
    def ours(self) -> bool:
        return self.id.startswith(OURS)


@dataclass(frozen=True, slots=True)
class Configuration:
    """Document split into pieces; concatenated they are exactly its bytes.

    ``space``: the name space our rules must declare, if the root's name has a prefix.
    """

    head: bytes = _EMPTY[0].encode()
    pieces: tuple[Piece, ...] = ()
    tail: bytes = _EMPTY[1].encode()
    space: str = ""

    @property
    def rules(self) -> list[Piece]:
        return [piece for piece in self.pieces if piece.node is not None]

    @property
    def foreign(self) -> list[Piece]:
        return [rule for rule in self.rules if not rule.ours]

    @property
    def ours(self) -> dict[str, Piece]:
        """Return our rules by id; of duplicates the first, as the store reads them."""
        return {rule.id: rule for rule in reversed(self.rules) if rule.ours}

    def __bytes__(self) -> bytes:
        return self.head + b"".join(piece.raw for piece in self.pieces) + self.tail

    def with_ours(self, wanted: Mapping[str, bytes]) -> bytes:
        """Return the document with exactly these rules of ours; b"" if no rule at all is left.

        An existing rule keeps its position, a new rule is appended, and every other byte is kept.
        """
        left, kept = dict(wanted), []
        for piece in self.pieces:
            if not piece.ours:
                kept.append(piece.raw)
            elif piece.id in left:
                kept.append(left.pop(piece.id))
        if not (wanted or self.foreign):
            return b""
        return self.head + b"".join([*kept, *left.values()]) + self.tail


def read(document: bytes | None) -> Configuration:
    """Split a configuration into pieces; None is an empty one. Raises LifecycleUnreadable."""
    if document is None:
        return Configuration()
    root = _parsed(document)
    if root.name != "LifecycleConfiguration":
        raise LifecycleUnreadable(f"its root element is {root.name}")
    if not root.children and not root.text.strip():
        return Configuration()
    pieces, at = [], _tag_end(document, root.start)
    head = document[:at]
    for child in root.children:
        if child.name != "Rule":
            continue
        if child.start > at:
            pieces.append(Piece(document[at : child.start]))
        pieces.append(Piece(document[child.start : child.end], child, _id(child)))
        at = child.end
    return Configuration(head, tuple(pieces), document[at:], _space(document, root))


def lost(sent: Node, found: Node) -> list[str]:
    """Return the elements of a sent rule that are missing in the one read back."""
    missing = Counter(sent.leaves()) - Counter(found.leaves())
    return sorted(path.removeprefix("Rule/") for path in missing)


def _id(rule: Node) -> str:
    """Return the rule's id; "" if it is ambiguous, so that the rule is not ours and never touched."""
    found = rule.all("ID")
    return found[0].text if len(found) == 1 and not found[0].children else ""


def _parsed(document: bytes) -> Node:
    if b"\0" in document:
        raise LifecycleUnreadable("it is not in UTF-8")
    top = Node("", {}, 0)
    open_ones = [top]
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def start(name: str, attributes: dict[str, str]) -> None:
        node = Node(name.rpartition(":")[2], attributes, parser.CurrentByteIndex)
        open_ones[-1].children.append(node)
        open_ones.append(node)

    def end(name: str) -> None:
        node = open_ones.pop()
        first = _tag_end(document, node.start)
        alone = document[first - 2 : first] == b"/>"
        node.end = first if alone else _tag_end(document, parser.CurrentByteIndex)

    def text(data: str) -> None:
        open_ones[-1].text += data

    def doctype(*_: object) -> None:
        raise LifecycleUnreadable("it has a document type declaration")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = text, doctype
    try:
        parser.Parse(document, True)
    except expat.ExpatError as error:
        raise LifecycleUnreadable(str(error)) from error
    return top.children[0]


def _tag_end(document: bytes, at: int) -> int:
    """Return the offset after the tag that begins at ``at``; a '>' within quotes does not end it."""
    quote = b""
    while True:
        char = document[at : at + 1]
        at += 1
        if quote:
            quote = b"" if char == quote else quote
        elif char in (b'"', b"'"):
            quote = char
        elif char in (b">", b""):
            return at


def _space(document: bytes, root: Node) -> str:
    """Return the name space our rules must declare, if the root's name has a prefix, else ""."""
    tag = document[root.start + 1 : root.start + 80].split(b"LifecycleConfiguration")[0]
    prefix = tag.decode("ascii", "replace").rstrip(":")
    return root.attributes.get(f"xmlns:{prefix}", SPACE) if prefix else ""

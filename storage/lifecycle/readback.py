"""Compare the configuration read back from a store with the one sent. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from storage.lifecycle.document import Configuration, Piece, lost, read
from storage.lifecycle.rules import LifecycleRule
from storage.lifecycle.xml import parse


@dataclass(frozen=True, slots=True, kw_only=True)
class Readback:
    """Difference between the current configuration and the one sent.

    ``ours`` and ``foreign``: id to what was lost, in words. ``somebody``: rules that another client changed.
    """

    document: bytes
    ours: Mapping[str, str] = field(default_factory=dict)
    foreign: Mapping[str, str] = field(default_factory=dict)
    somebody: str = ""
    reordered: bool = False

    @property
    def well(self) -> bool:
        return not (self.ours or self.foreign or self.somebody)

    def words(self) -> str:
        return "; ".join(f"{id} {what}" for id, what in (*self.foreign.items(), *self.ours.items()))


def compared(sent: bytes, found: bytes | None, wanted: Mapping[str, LifecycleRule]) -> Readback:
    """Compare rule by rule; order, spaces and comments do not count, but a changed order is reported."""
    before, after = read(sent or None), read(found)
    ours = _ours(before, after, wanted)
    foreign, somebody = _foreign(before, after)
    kept = [rule.id for rule in before.rules]
    there = [rule.id for rule in after.rules]
    reordered = kept != there and Counter(kept) == Counter(there)
    return Readback(document=found or b"", ours=ours, foreign=foreign, somebody=somebody, reordered=reordered)


def _ours(before: Configuration, after: Configuration, wanted: Mapping[str, LifecycleRule]) -> dict[str, str]:
    """Return our rules that differ from those sent, and what they lost."""
    unheld = {}
    for id, piece in before.ours.items():
        again = after.ours.get(id)
        if again is None:
            unheld[id] = "it is missing"
        elif _means(again) != _means(piece) and not _same(again, wanted.get(id)):
            unheld[id] = _words(piece, again)
    return unheld


def _same(found: Piece, wanted: LifecycleRule | None) -> bool:
    return wanted is not None and found.node is not None and parse(found.id, found.node).same(wanted)


def _foreign(before: Configuration, after: Configuration) -> tuple[dict[str, str], str]:
    """Return what rules of others lost, and the rules with more than was sent: another client's change."""
    sent, found = Counter(map(_means, before.foreign)), Counter(map(_means, after.foreign))
    by_id = {piece.id: piece for piece in before.foreign if piece.id}
    left = {piece.id: piece for piece in after.foreign if found[_means(piece)] > sent[_means(piece)]}
    strange = [id for id, piece in left.items() if _more(by_id.get(id), piece)]
    missing = [piece for piece in before.foreign if sent[_means(piece)] > found[_means(piece)]]
    answer = {piece.id or "(no id)": _words(piece, left.get(piece.id)) for piece in missing}
    return answer, ", ".join(id or "a rule without id" for id in strange)


def _more(sent: Piece | None, found: Piece) -> bool:
    if sent is None or sent.node is None or found.node is None:
        return True
    return bool(lost(found.node, sent.node))


def _words(sent: Piece, found: Piece | None) -> str:
    if found is None or found.node is None or sent.node is None:
        return "is missing"
    return f"lost {', '.join(lost(sent.node, found.node)) or 'the grouping of its elements'}"


def _means(piece: Piece) -> object:
    return piece.node.meaning() if piece.node is not None else ()

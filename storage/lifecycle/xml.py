"""Serialize a lifecycle rule to XML, and parse it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from storage.lifecycle.document import Node
from storage.lifecycle.rules import Act, LifecycleRule, Verb


def render(one: LifecycleRule, space: str = "") -> bytes:
    """Return the rule as XML; ``space`` is set only if the document's name space is not the default."""
    begin = f"<Rule xmlns={quoteattr(space)}>" if space else "<Rule>"
    head = (
        f"<ID>{escape(one.id)}</ID>{_filter(one)}<Status>{'Enabled' if one.enabled else 'Disabled'}</Status>"
    )
    return f"{begin}{head}{''.join(map(_act, one.acts))}</Rule>".encode()


def _filter(one: LifecycleRule) -> str:
    parts = [f"<Prefix>{escape(one.prefix)}</Prefix>"] if one.prefix or not one.tags else []
    for key, value in sorted(one.tags):
        parts.append(f"<Tag><Key>{escape(key)}</Key><Value>{escape(value)}</Value></Tag>")
    for name, bound in (("GreaterThan", one.larger), ("LessThan", one.smaller)):
        if bound is not None:
            parts.append(f"<ObjectSize{name}>{bound}</ObjectSize{name}>")
    inner = "".join(parts)
    return f"<Filter>{inner if len(parts) == 1 else f'<And>{inner}</And>'}</Filter>"


def _act(act: Act) -> str:
    match act.verb:
        case "expire":
            return f"<Expiration><Days>{act.days}</Days></Expiration>"
        case "transition":
            target = f"<StorageClass>{escape(act.target)}</StorageClass>"
            return f"<Transition><Days>{act.days}</Days>{target}</Transition>"
        case "noncurrent":
            days = f"<NoncurrentDays>{act.days}</NoncurrentDays>"
            return f"<NoncurrentVersionExpiration>{days}</NoncurrentVersionExpiration>"
        case "abort":
            days = f"<DaysAfterInitiation>{act.days}</DaysAfterInitiation>"
            return f"<AbortIncompleteMultipartUpload>{days}</AbortIncompleteMultipartUpload>"
        case "markers":
            return "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"


#: Leaf elements of a rule that are understood, by path below Rule, and the field each sets.
_FIELDS = {
    "Prefix": "prefix", "Filter/Prefix": "prefix", "Filter/And/Prefix": "prefix",
    "Filter/ObjectSizeGreaterThan": "larger", "Filter/And/ObjectSizeGreaterThan": "larger",
    "Filter/ObjectSizeLessThan": "smaller", "Filter/And/ObjectSizeLessThan": "smaller",
}  # fmt: skip
_ACTS: dict[str, tuple[Verb, str]] = {
    "Expiration": ("expire", "Days"),
    "Transition": ("transition", "Days"),
    "NoncurrentVersionExpiration": ("noncurrent", "NoncurrentDays"),
    "AbortIncompleteMultipartUpload": ("abort", "DaysAfterInitiation"),
}
_TAG = ("Filter/Tag", "Filter/And/Tag")


def parse(id: str, node: Node) -> LifecycleRule:
    """Parse a rule read from a store; nothing is refused, because it may be another client's."""
    acts: list[Act] = []
    said: dict[str, Any] = {}
    tags, unknown = set(), list[str]()
    for path, one in _parts(node):
        if path in _FIELDS and (value := _value(_FIELDS[path], one.text)) is not None:
            said[_FIELDS[path]] = value
        elif path in _TAG:
            tags.add((_text(one, "Key"), _text(one, "Value")))
        elif path in _ACTS and (act := _read_act(path, one)):
            acts.append(act)
        elif path not in ("ID", "Status", "Filter", "Filter/And"):
            unknown += one.leaves()
    enabled = _text(node, "Status") == "Enabled"
    return LifecycleRule(
        id=id, acts=tuple(acts), tags=frozenset(tags), enabled=enabled, unknown=tuple(sorted(unknown)), **said
    )


def _parts(node: Node, path: str = "") -> Iterable[tuple[str, Node]]:
    """Yield each element below the rule with its path; children of an action or a tag stay inside it."""
    for child in node.children:
        here = f"{path}{child.name}"
        yield here, child
        if here in ("Filter", "Filter/And"):
            yield from _parts(child, f"{here}/")


def _value(field: str, text: str) -> object:
    if field == "prefix":
        return text
    return int(text) if text.strip().isdecimal() else None


def _read_act(name: str, one: Node) -> Act | None:
    """Parse an action; None if it has elements that are not understood."""
    verb, days = _ACTS[name]
    said = {child.name: child.text.strip() for child in one.children}
    if said == {"ExpiredObjectDeleteMarker": "true"} and verb == "expire":
        return Act("markers")
    if said.keys() - {days, "Date", "StorageClass"} or len(said) != len(one.children):
        return None
    number = said.get(days, "")
    if number and not number.isdecimal():
        return None
    if verb == "transition" and not number and "Date" not in said:
        number = "0"  # MinIO omits it, and treats a transition without days as immediate
    return Act(verb, int(number) if number else None, said.get("StorageClass", ""), said.get("Date", ""))


def _text(node: Node, name: str) -> str:
    return "".join(child.text for child in node.all(name))

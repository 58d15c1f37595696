"""Parser for the cold-data settings given as text in environment variables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar, cast

from storage.core.errors import ColdSettingWrong
from storage.core.tiers import CLASSES, CODECS, TIERS, CodecName, ColdSettings, ObjectClass, Price, Rule, Tier

#: Lowest and highest level of each codec.
LEVELS: Mapping[CodecName, tuple[int, int]] = {"zstd": (1, 19), "gzip": (1, 9), "lz4": (0, 16)}
_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
MOST_DAYS = 36_500
Word = TypeVar("Word", bound=str)


def parse(rules: str, tiers: str, prices: str) -> ColdSettings:
    """Parse the three settings together. Raises ColdSettingWrong, which names the setting and the word."""
    money, currency = _prices(prices)
    return ColdSettings(rules=_rules(rules), tiers=_tiers(tiers), prices=money, currency=currency)


def _rules(text: str) -> dict[ObjectClass, Rule]:
    """Parse ``CLASS name=value ...; CLASS ...``. The class ``all`` applies the entry to every class.

    Entries apply in order; a later entry changes only the values it names.
    """
    name, found = "STORAGE_COLD_RULES", dict.fromkeys(CLASSES, Rule())
    for head, words in _entries(name, text):
        for object_class in CLASSES if head == "all" else (_one_of(name, head, CLASSES),):
            found[object_class] = _rule(name, found[object_class], words)
    return found


def _rule(name: str, rule: Rule, words: Mapping[str, str]) -> Rule:
    values: dict[str, Any] = {}
    for word, value in words.items():
        if word in ("compress", "warm", "cold"):
            values[word] = _age(name, word, value)
        elif word == "codec":
            values[word] = None if value == "auto" else _one_of(name, value, CODECS)
        elif word == "level":
            values[word] = None if value == "auto" else _whole(name, word, value)
        elif word == "smallest":
            values[word] = _bytes(name, value)
        else:
            known = "compress, warm, cold, codec, level, smallest"
            raise ColdSettingWrong(name, f"{word!r} is none of {known}")
    made = replace(rule, **values)
    _fits(name, made)
    return made


def _fits(name: str, rule: Rule) -> None:
    if rule.level is not None:
        if rule.codec is None:
            raise ColdSettingWrong(name, f"level={rule.level} needs codec=zstd, gzip or lz4 as well")
        low, high = LEVELS[rule.codec]
        if not low <= rule.level <= high:
            raise ColdSettingWrong(name, f"level={rule.level} of {rule.codec}: it may be {low} to {high}")
    if rule.warm is not None and rule.cold is not None and rule.cold < rule.warm:
        raise ColdSettingWrong(name, "cold comes before warm: an object would go back to a warmer tier")


def _tiers(text: str) -> dict[Tier, str]:
    """Parse ``warm=STANDARD_IA cold=NAME``: a storage class, or a remote tier of the store."""
    name = "STORAGE_TIERS"
    return {_tier(name, word): value for word, value in _pairs(name, text.split())}


def _prices(text: str) -> tuple[dict[Tier, Price], str]:
    """Parse ``EUR hot=0.021 cold=0.004/90``: price per GiB and month, and the minimum days billed."""
    name, words = "STORAGE_PRICES", text.split()
    currency = words.pop(0) if words and "=" not in words[0] else ""
    found: dict[Tier, Price] = {}
    for word, value in _pairs(name, words):
        money, _, days = value.partition("/")
        tier = _one_of(name, word, TIERS)
        found[tier] = Price(_money(name, word, money), _age(name, word, days or "0") or timedelta())
    return found, currency


def _entries(name: str, text: str) -> Iterator[tuple[str, dict[str, str]]]:
    for entry in filter(str.strip, text.split(";")):
        head, *words = entry.split()
        if not words:
            raise ColdSettingWrong(name, f"{head!r} has no name=value after it")
        yield head, dict(_pairs(name, words))


def _pairs(name: str, words: list[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        left, equals, right = word.partition("=")
        if not equals or not left or not right:
            raise ColdSettingWrong(name, f"{word!r} is not name=value")
        yield left, right


def _tier(name: str, word: str) -> Tier:
    if word == "hot":
        raise ColdSettingWrong(name, "hot is where objects are written and cannot be renamed")
    return cast(Tier, _one_of(name, word, ("warm", "cold")))


def _one_of(name: str, word: str, known: tuple[Word, ...]) -> Word:
    for candidate in known:
        if candidate == word:
            return candidate
    raise ColdSettingWrong(name, f"{word!r} is none of {', '.join(known)}")


def _age(name: str, word: str, value: str) -> timedelta | None:
    if value == "never":
        return None
    try:
        days = float(value)
    except ValueError:
        days = -1
    if not 0 <= days <= MOST_DAYS:
        raise ColdSettingWrong(name, f"{word}={value}: give days from 0 to {MOST_DAYS}, or never")
    return timedelta(days=days)


def _whole(name: str, word: str, value: str) -> int:
    if not re.fullmatch(r"\d{1,3}", value):
        raise ColdSettingWrong(name, f"{word}={value}: give a whole number, or auto")
    return int(value)


def _bytes(name: str, value: str) -> int:
    parts = re.fullmatch(r"(\d{1,15})(KiB|MiB|GiB)?", value)
    if not parts:
        raise ColdSettingWrong(name, f"smallest={value}: give bytes, such as 131072 or 128KiB")
    return int(parts[1]) * _UNITS[parts[2] or ""]


def _money(name: str, word: str, value: str) -> float:
    try:
        money = float(value)
    except ValueError:
        money = -1.0
    if not 0 <= money < 1e6:
        raise ColdSettingWrong(name, f"{word}={value}: give a price per GiB and month, such as 0.021")
    return money

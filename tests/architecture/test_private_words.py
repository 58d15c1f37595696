"""Terms in identifiers and docstrings: no private words of this project, no question as a summary line."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

PROJECT = Path(__file__).resolve().parents[2]
LIST = PROJECT / "tests/architecture/private_words.txt"
CODE = ("storage", "plugins", "dags", "tests", "devstack")
#: A summary line states what the documented object does or is; these words would begin a question.
QUESTION = re.compile(r"(What|Where|Whether|Who|Whatever|How)\b")


class Listed(NamedTuple):
    """The words that no identifier may contain, and the excepted identifiers with their reasons."""

    words: frozenset[str]
    excepted: dict[str, str]


class Use(NamedTuple):
    """One identifier that contains a private word, and its location."""

    file: str
    line: int
    name: str
    word: str


def listed() -> Listed:
    """Read the list file: words, a blank line, exceptions."""
    words, _, rest = LIST.read_text().partition("\n\n")
    lines = [line for line in rest.splitlines() if line and not line.startswith("#")]
    parts = [line.partition("#") for line in lines]
    return Listed(frozenset(words.split()), {name.strip(): reason.strip() for name, _, reason in parts})


def words_of(name: str) -> set[str]:
    """Split an identifier at underscores and capitals; a part all in capitals is one word."""
    parts = name.split("_")
    return {
        word.lower()
        for part in parts
        for word in ([part] if part.isupper() else re.findall("[A-Za-z][a-z]*", part))
    }


def identifiers(source: str) -> Iterator[tuple[int, str]]:
    """Find every name in a source text, with its line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME:
            yield token.start[0], token.string


@cache
def uses() -> tuple[Use, ...]:
    """Find every identifier of the project that contains a private word, exceptions included."""
    words = listed().words
    return tuple(
        Use(path.relative_to(PROJECT).as_posix(), line, name, word)
        for folder in CODE
        for path in sorted((PROJECT / folder).rglob("*.py"))
        for line, name in identifiers(path.read_text())
        for word in sorted(words & words_of(name))
    )


def summaries(source: str) -> Iterator[tuple[int, str]]:
    """Find the first line of every docstring, with the line number of the documented object."""
    for node in ast.walk(ast.parse(source)):
        documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        if isinstance(node, documented) and (text := ast.get_docstring(node)):
            yield getattr(node, "lineno", 1), text.splitlines()[0]


def test_no_identifier_contains_a_private_word() -> None:
    found = [one for one in uses() if one.name not in listed().excepted]
    assert not found, "\n".join(f"{one.file}:{one.line}: {one.name} ({one.word})" for one in found)


def test_every_exception_has_a_reason_and_is_needed() -> None:
    names = {one.name for one in uses()}
    for name, reason in listed().excepted.items():
        assert reason, f"{name}: say why"
        assert name in names, f"{name} occurs no more"


def test_no_summary_line_begins_with_a_question_word() -> None:
    found = [
        f"{path.relative_to(PROJECT)}:{line}: {summary}"
        for folder in ("storage", "plugins")
        for path in sorted((PROJECT / folder).rglob("*.py"))
        for line, summary in summaries(path.read_text())
        if QUESTION.match(summary)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("backup_vault", {"backup", "vault"}),
        ("S3Rewriter", {"s", "rewriter"}),
        ("_VAULT_STONES", {"vault", "stones"}),
        ("encoding", {"encoding"}),
        ("ColdSite2", {"cold", "site"}),
    ],
)
def test_an_identifier_is_split_into_its_words(name: str, words: set[str]) -> None:
    assert words_of(name) - {""} == words


def test_summaries_are_found_in_modules_classes_and_functions() -> None:
    source = '"""One.\n\nMore."""\nclass A:\n    """Two."""\n    async def f(self):\n        """Three."""\n'
    assert [text for _, text in sorted(summaries(source))] == ["One.", "Two.", "Three."]

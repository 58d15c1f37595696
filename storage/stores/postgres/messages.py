"""Messages of PostgreSQL and its client programs, without the data that they may quote.

A message may hold a value (``invalid input syntax for type integer: "..."``), a row (DETAIL, CONTEXT), a
command with its literals (STATEMENT, ``Command was``), or whatever a function of the pipeline raised. Which
of its words are data cannot be seen from its text. So only messages of the forms in ``messages.txt`` are
shown, with the names in them; the text of any other is withheld. Errors go to terminals, catalogue, audit
and logs.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import psycopg2

WITHHELD = "a message that is withheld as it may quote data (see the log of the server)"
LINES = 5  # of a program's output
_KINDS = (
    "relation|table|view|materialized view|foreign table|partitioned table|column|constraint|index|schema|"
    "database|function|procedure|aggregate|type|domain|sequence|extension|trigger|event trigger|operator|"
    "operator class|operator family|tablespace|server|foreign-data wrapper|user mapping|publication|"
    "subscription|language|collation|conversion|text search configuration|text search dictionary|policy|"
    "rule|access method|large object|statistics object|cast|parameter"
)
_TOKENS = {
    "@": r'"[^"\n]*"',
    "=": r'(?:"[^"\n]*"|[\w.$@/:-]+)',
    "^": f"(?:{_KINDS})",
    "#": r"\d+",
    "~": r"[A-Za-z][A-Za-z0-9_ ,()-]*",
    "...": r"([^\n]*)",
}
_SPEAKS = re.compile(r"(?:\w+: (?:error|fatal|warning|detail|hint):|(?:ERROR|FATAL|PANIC):)")
_RAISED = re.compile(r'PL/pgSQL function [\w."]+(?:\([\w., \[\]"]*\))? line \d+ at RAISE')


def shown(message: str) -> str:
    """Return one message as it may be shown: of a known form without its data, otherwise :data:`WITHHELD`."""
    message = " ".join(message.split())
    prefixes, forms = _forms()
    before = prefixes.match(message)
    known, rest = (before[0], message[before.end() :]) if before else ("", message)
    for form in forms:
        if found := form.fullmatch(rest):
            return known + _without_rests(found)
    return known + WITHHELD


def shown_output(output: str) -> str:
    """Return the errors of a client program as they may be shown, a line each; at most :data:`LINES`."""
    said = [shown(line) for line in output.splitlines() if _SPEAKS.match(line)]
    useful = [line for line in dict.fromkeys(said) if ": detail: " not in line or WITHHELD not in line]
    return "\n".join(useful[:LINES])


def shown_error(error: psycopg2.Error) -> str:
    """Return an error of the driver as it may be shown: its message, and its detail where that is known.

    Where the text is withheld, the SQLSTATE and the function that raised it lead on.
    """
    code, raised = error.pgcode, _RAISED.search(error.diag.context or "")
    if raised or code == "P0001":  # the text is a function's own: it may have any form
        return f"{WITHHELD}, SQLSTATE {code}, raised by {raised[0] if raised else 'a function'}"
    lines = str(error.diag.message_primary or error).strip().splitlines()
    said = shown(lines[0]) if lines else type(error).__name__
    if WITHHELD in said:
        return f"{said}, SQLSTATE {code} ({type(error).__name__})" if code else said
    detail = shown(error.diag.message_detail or "")
    return said if WITHHELD in detail else f"{said}: {detail}"


def _without_rests(found: re.Match[str]) -> str:
    text, end = [], 0
    for number in range(1, (found.re.groups or 0) + 1):
        text += [found.string[end : found.start(number)], "..."]
        end = found.end(number)
    start = found.start()
    return "".join([*text, found.string[end : found.end()]])[start:]


@cache
def _forms() -> tuple[re.Pattern[str], tuple[re.Pattern[str], ...]]:
    lines = Path(__file__).with_suffix(".txt").read_text().splitlines()
    forms = [line for line in lines if line and not line.startswith("--")]
    prefixes = "|".join(_pattern(form) for form in forms if form.endswith(":"))
    return re.compile(f"(?:(?:{prefixes}) )*"), tuple(
        re.compile(_pattern(form)) for form in forms if not form.endswith(":")
    )


def _pattern(form: str) -> str:
    return "".join(_TOKENS.get(part) or re.escape(part) for part in re.split(r"(\.\.\.|[@=^#~])", form))

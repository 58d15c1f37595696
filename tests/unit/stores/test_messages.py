"""What is shown of PostgreSQL's messages: names, never data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.stores.postgres.messages import LINES, WITHHELD, shown, shown_output

CANARY = "canary-7Qx"


@pytest.mark.parametrize(
    "message",
    [
        "permission denied for table jobs",
        'relation "public.jobs" does not exist',
        "function match(integer, text) does not exist",
        'connection to server at "::1", port 1 failed: FATAL: password authentication failed for user "me"',
        'pg_restore: error: could not execute query: ERROR: role "owner" does not exist',
        'could not extend file "base/16384/2": No space left on device',
        'new row for relation "jobs" violates check constraint "jobs_status"',
        "canceling statement due to lock timeout",
    ],
)
def test_a_message_of_a_known_form_is_shown_whole(message: str) -> None:
    expected = message.replace("match(integer, text)", "match(...)")
    assert shown(message) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            f'ERROR: invalid input syntax for type integer: "{CANARY}"',
            "ERROR: invalid input syntax for type integer: ...",
        ),
        (f'syntax error at or near "{CANARY}"', "syntax error at or near ..."),
        (f'invalid input value for enum status: "{CANARY}"', "invalid input value for enum status: ..."),
        (f"the hook is {CANARY}", WITHHELD),
        (f'job "{CANARY}" does not exist', WITHHELD),
        (f'ERROR: relation "jobs" does not exist in {CANARY}', f"ERROR: {WITHHELD}"),
        (f'permission denied for table jobs "{CANARY}"', WITHHELD),
    ],
)
def test_data_is_left_out(message: str, expected: str) -> None:
    assert shown(message) == expected


def test_of_a_program_s_output_only_its_errors_are_shown() -> None:
    """Rows, commands and their continued lines are no errors, and are left out."""
    output = f"""pg_restore: connecting to database
pg_restore: while PROCESSING TOC:
pg_restore: from TOC entry 215; 1259 16386 TABLE cfg {CANARY}
pg_restore: error: COPY failed for table "cfg": ERROR:  function seen(text) does not exist
LINE 1: SELECT seen('{CANARY}')
HINT:  {CANARY}
QUERY:  SELECT '{CANARY}'
CONTEXT:  PL/pgSQL function checked(text) line 1 at RETURN
COPY cfg, line 1: "1\t{CANARY}"
Command was: CREATE INDEX ON cfg ((v || '{CANARY}
{CANARY}'));
pg_dump: detail: Command was: COPY cfg TO '{CANARY}'
"""
    assert shown_output(output) == (
        'pg_restore: error: COPY failed for table "cfg": ERROR: function seen(...) does not exist'
    )
    assert shown_output(f"pg_restore: error: {CANARY}\n" * 9) == f"pg_restore: error: {WITHHELD}"
    assert (
        len(shown_output("".join(f'ERROR: role "{n}" does not exist\n' for n in range(99))).split("\n"))
        == LINES
    )


@given(
    st.text(), st.sampled_from(["", "ERROR: ", "pg_restore: error: ", "invalid input syntax for type json: "])
)
def test_no_text_beyond_the_forms_is_shown(text: str, before: str) -> None:
    said = shown(f"{before}{text}|{CANARY}|")
    assert CANARY not in said

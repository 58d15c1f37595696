"""The reference pages, which must match what the code generates."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from devstack import settings_table as pages
from storage.cli.parser import parser
from storage.core.settings import Settings

PROJECT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("page", pages.PAGES)
def test_a_page_equals_what_is_generated(page: str) -> None:
    text = (PROJECT / page).read_text()
    assert text == pages.updated(page, text), "run: python -m devstack.settings_table"


def test_every_setting_has_a_meaning_and_no_other_has() -> None:
    assert set(pages.MEANINGS) == {one.name for one in fields(Settings)}


def test_every_setting_can_be_set_in_airflow() -> None:
    source = (PROJECT / "plugins/storage_airflow/connections.py").read_text()
    for one in fields(Settings):
        assert re.search(rf'"{one.name}"|\b{one.name}=', source), one.name


def test_secrets_are_marked() -> None:
    rows = [line for line in pages.settings_table().splitlines() if "| yes |" in line]
    assert [re.search(r"`(\w+)`", row)[1] for row in rows] == [  # type: ignore[index]
        "STORAGE_SECRET_KEY", "STORAGE_SESSION_TOKEN", "STORAGE_DATABASE_URL", "STORAGE_BACKUP_SECRET_KEY",
    ]  # fmt: skip


def test_every_schedule_that_is_known_belongs_to_a_dag() -> None:
    from storage.core import settings

    known = {name for name in settings._OTHERS if name.endswith("_SCHEDULE")}
    assert set(re.findall(r"STORAGE_\w+_SCHEDULE", pages.schedules_table())) == known


def test_no_text_is_of_a_command_or_option_that_is_gone() -> None:
    commands = {one.prog: one for one in pages._commands(parser())}
    assert set(pages.COMMANDS) == set(commands)
    names = {(prog, name) for prog, one in commands.items() for a in one._actions for name in pages._names(a)}
    known = {f"{prog} {name}" for prog, name in names} | {name for _, name in names}
    assert set(pages.OPTIONS) <= known


def test_every_command_takes_json() -> None:
    """The page says so once for all commands."""
    for one in pages._commands(parser()):
        if "_SubParsersAction" not in {type(action).__name__ for action in one._actions}:
            assert "--json" in one._option_string_actions, one.prog


def test_a_page_without_markers_is_an_error() -> None:
    with pytest.raises(ValueError, match="lacks the markers"):
        pages.updated("docs/command-line.md", "# Command line\n")

"""Control records: switches, facts and capabilities that outlive a run."""

from __future__ import annotations

from typing import Any

from storage.core.capabilities import Capabilities


def test_read_what_was_written(database: Any) -> None:
    assert database.control.read("fact") is None
    database.control.write("fact", "it's 100% é\n")
    assert database.control.read("fact") == "it's 100% é\n"
    database.control.write("fact", "")
    assert database.control.read("fact") == ""
    assert database.control.read("other") is None


def test_write_none_removes(database: Any) -> None:
    database.control.write("fact", "x")
    database.control.write("fact", None)
    database.control.write("fact", None)
    assert database.control.read("fact") is None


def test_paused_says_why_and_since_when(database: Any) -> None:
    assert database.control.paused() is None
    before = database.jobs.now()
    database.control.write("paused", "disk swap")
    pause = database.control.paused()
    assert pause.reason == "disk swap"
    assert before <= pause.since <= database.jobs.now()
    database.control.write("paused", None)
    assert database.control.paused() is None


def test_capabilities_are_unknown_until_saved(database: Any) -> None:
    assert database.control.capabilities() == Capabilities()
    found = Capabilities(
        server="MinIO",
        versioned=False,
        conditional_put=True,
        storage_classes=("STANDARD", "COLD"),
        refused_keys=("a//b",),
        clock_skew_seconds=0.25,
    )
    database.control.save_capabilities(found)
    assert database.control.capabilities() == found
    database.control.save_capabilities(Capabilities(server="other"))
    assert database.control.capabilities() == Capabilities(server="other")

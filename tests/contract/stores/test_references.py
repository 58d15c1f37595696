"""References to an object: job rows, by any column that names an output."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

T = datetime(2026, 3, 8, tzinfo=UTC)
OUTPUTS = (
    "output_360p_path",
    "output_720p_path",
    "output_audio_path",
    "transcription_txt_path",
    "transcription_srt_path",
    "transcription_vtt_path",
    "transcription_json_path",
)


@pytest.mark.parametrize("column", OUTPUTS)
def test_by_any_output_column(column: str, database: Any) -> None:
    database.add_job("a", "completed", T, **{column: "processed/a/out"})
    keys = ["processed/a/out", "processed/a/out2", "processed/a/ou"]
    assert database.references.of(keys) == {"processed/a/out": "job a"}


@pytest.mark.parametrize(
    "key", ["p/100%.mp4", "p/a_b.mp4", "p/it's.mp4", 'p/"q".mp4', "p/a\\b", "p/é:x", "p/{a,b}"]
)
def test_compares_keys_literally(key: str, database: Any) -> None:
    database.add_job("a", "completed", T, output_360p_path=key)
    assert database.references.of([key]) == {key: "job a"}
    look_alikes = ["p/100abc.mp4", "p/aXb.mp4", "p/its.mp4", "p/q.mp4", "p/ab", "p/e:x", "p/a"]
    assert database.references.of(look_alikes) == {}


def test_ignores_what_was_cleaned_up_and_asks_for_nothing(database: Any) -> None:
    database.add_job("a", "cleaned_up", T, output_360p_path="p/a")
    database.add_job("b", "failed", T, output_720p_path="p/b")
    assert database.references.of(["p/a", "p/b"]) == {"p/b": "job b"}
    assert database.references.of([]) == {}


def test_the_first_of_several_jobs_is_named(database: Any) -> None:
    database.add_job("b", "completed", T, output_360p_path="p/a")
    database.add_job("a", "completed", T, output_audio_path="p/a")
    assert database.references.of(["p/a"]) == {"p/a": "job a"}

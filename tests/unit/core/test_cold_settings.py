"""Settings for cold data: parsed, or refused with the offending name."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.cold.model import Compression, ObjectKey, class_of, codec_for, compression_of
from storage.core.attributes import Attributes
from storage.core.cold_settings import parse
from storage.core.errors import EXIT_USAGE, ColdSettingWrong
from storage.core.tiers import CLASSES, Rule

DAY = timedelta(days=1)


def test_unset_means_the_documents_ninety_days() -> None:
    made = parse("", "", "")
    assert set(made.rules) == set(CLASSES)
    assert {(rule.compress, rule.warm, rule.cold) for rule in made.rules.values()} == {
        (90 * DAY, None, 90 * DAY)
    }
    assert (made.tiers, made.prices) == ({}, {})


def test_rules_of_a_class_and_of_all() -> None:
    text = "all compress=30 smallest=0; transcripts compress=7 codec=zstd level=9 cold=never"
    rules = parse(f"{text}; original warm=30 cold=180", "", "").rules
    assert rules["transcripts"] == Rule(compress=7 * DAY, cold=None, codec="zstd", level=9, smallest=0)
    assert rules["original"] == Rule(compress=30 * DAY, warm=30 * DAY, cold=180 * DAY, smallest=0)
    assert rules["360p"] == Rule(compress=30 * DAY, smallest=0)


def test_tiers_and_prices() -> None:
    made = parse("", "warm=STANDARD_IA cold=COLD", "EUR hot=0.021 cold=0.004/90")
    assert made.tiers == {"warm": "STANDARD_IA", "cold": "COLD"}
    assert made.currency == "EUR"
    assert (made.prices["cold"].per_gib_month, made.prices["cold"].minimum) == (0.004, 90 * DAY)


@pytest.mark.parametrize(
    ("rules", "tiers", "prices", "says"),
    [
        ("videos cold=3", "", "", "'videos' is none of original, 360p"),
        ("audio codec=brotli", "", "", "'brotli' is none of zstd, gzip, lz4"),
        ("audio codec=gzip level=10", "", "", "level=10 of gzip: it may be 1 to 9"),
        ("audio level=3", "", "", "level=3 needs codec="),
        ("audio compress=-1", "", "", "compress=-1: give days from 0"),
        ("audio compress=soon", "", "", "compress=soon: give days from 0"),
        ("audio compress=nan", "", "", "compress=nan: give days from 0"),
        ("audio warm=9 cold=3", "", "", "cold comes before warm"),
        ("audio", "", "", "'audio' has no name=value after it"),
        ("audio compress", "", "", "'compress' is not name=value"),
        ("audio shrink=3", "", "", "'shrink' is none of compress, warm"),
        ("audio smallest=3kb", "", "", "smallest=3kb: give bytes"),
        ("", "hot=STANDARD", "", "hot is where objects are written"),
        ("", "frozen=X", "", "'frozen' is none of warm, cold"),
        ("", "cold", "", "'cold' is not name=value"),
        ("", "", "EUR hot=dear", "hot=dear: give a price"),
        ("", "", "hot=0.1 icy=0.2", "'icy' is none of hot, warm, cold"),
    ],
)
def test_what_cannot_be_is_refused_by_name(rules: str, tiers: str, prices: str, says: str) -> None:
    with pytest.raises(ColdSettingWrong, match=says) as raised:
        parse(rules, tiers, prices)
    assert raised.value.exit_code == EXIT_USAGE
    assert "README" in str(raised.value)


@given(st.text(alphabet="ac =;0129/hotldeparmn-", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    for words in ((text, "", ""), ("", text, ""), ("", "", text)):
        try:
            parse(*words)
        except ColdSettingWrong as refusal:
            assert str(refusal).startswith("STORAGE_")


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("processed/j/raw/video_original.mp4", "original"),
        ("processed/j/360p/video_360p.mp4", "360p"),
        ("processed/j/360p/segments/seg_000.ts", "segments"),
        ("processed/j/audio/audio.mp3", "audio"),
        ("processed/j/transcription/transcript.json", "transcripts"),
        ("processed/j/metadata.json", "metadata"),
        ("processed/j/360p/metadata.json", "360p"),
        ("processed/j/notes.txt", "other"),
        ("processed/j/RAW/x", "other"),
    ],
)
def test_classes_by_folder(key: str, kind: str) -> None:
    assert class_of(key) == kind


def test_what_browsers_load_is_gzip_unless_a_rule_says_otherwise() -> None:
    assert codec_for("a/transcript.VTT", Rule()) == "gzip"
    assert codec_for("a/playlist.m3u8", Rule(codec="zstd")) == "zstd"
    assert codec_for("a/transcript.json", Rule()) == "zstd"


def test_a_compression_is_read_back_as_it_was_written() -> None:
    compression, key = Compression("zstd", 12, "a" * 64, "e1"), ObjectKey("k")
    was = Attributes("text/plain", "", {"mine": "kept"}, {"CacheControl": "no-store"})
    written = compression.written_into(was)
    assert compression_of(key, written) == compression
    assert (written.content_encoding, written.metadata["mine"]) == ("zstd", "kept")
    assert written.headers == was.headers
    assert compression_of(key, was) is None

"""Seeded bugs in compressing and reading back that the tests must detect."""

from __future__ import annotations

from tests.faults.cleanup.bugs import Bug

_ACTION, _FAKE = "storage/cold/actions/compress.py", "storage/testing/replacer.py"

BUGS = (
    Bug(
        "what was packed is compared by its length alone",
        "storage/cold/compress.py",
        "(proof.sum.size, proof.sum.sha256) != (read.size, read.sha256)",
        "proof.sum.size != read.size",
        "tests/unit/cold/test_erring_compressors.py::test_a_compressor_that_takes_other_bytes_is_caught",
    ),
    Bug(
        "what was packed is not compared",
        "storage/cold/compress.py",
        "if not proof.ended or (proof.sum.size, proof.sum.sha256) != (read.size, read.sha256):",
        "if proof is None:",
        "tests/unit/cold/test_erring_compressors.py::test_a_compressor_that_takes_other_bytes_is_caught",
    ),
    Bug(
        "a stream without its end is taken for whole",
        "storage/cold/compress.py",
        "if not proof.ended or (",
        "if (",
        "tests/unit/cold/test_erring_compressors.py::test_a_compressor_that_loses_its_end_is_caught",
    ),
    Bug(
        "a source cut short is compressed",
        "storage/cold/compress.py",
        "if read.size != size:",
        "if read.size > size:",
        "tests/unit/cold/test_compress_races.py::test_a_source_that_is_cut_short_is_no_object",
    ),
    Bug(
        "the write names no condition",
        _FAKE,
        "if current.etag != seen.info.etag:",
        "if not current.etag:",
        "tests/unit/cold/test_compress_races.py::test_an_object_written_at_any_moment_wins",
    ),
    Bug(
        "an object is read without naming its etag",
        "storage/cold/compress.py",
        "with replacer.open(seen.info.key, seen.info.etag) as stream:",
        "with replacer.open(seen.info.key) as stream:",
        "tests/unit/cold/test_compress_races.py::test_an_object_written_at_any_moment_wins",
    ),
    Bug(
        "media are read whole before they are judged",
        "storage/cold/compress.py",
        "    if why := compressibility.why_not(samples, size):\n        raise _NotWorth(why)\n",
        "",
        "tests/unit/cold/test_compress.py::test_media_are_never_read_beyond_three_samples",
    ),
    Bug(
        "one compressible end is enough to read a film",
        "storage/cold/compressibility.py",
        "ratio = median(",
        "ratio = min(",
        "tests/unit/cold/test_compressibility.py::test_an_index_at_one_end_is_no_reason_to_read_a_film",
    ),
    Bug(
        "what hardly shrinks is written",
        "storage/cold/compressibility.py",
        'return "" if after <= before * (1 - LEAST_SAVING) else TOO_LITTLE',
        'return ""',
        "tests/unit/cold/test_compress.py::test_what_only_looks_compressible_stays",
    ),
    Bug(
        "what another program encoded is encoded twice",
        "storage/cold/compress.py",
        "    if was.content_encoding:\n",
        "    if was.content_encoding == 'aws-chunked':\n",
        "tests/unit/cold/test_compress.py::test_what_another_program_encoded_stays",
    ),
    Bug(
        "headers are forgotten",
        "storage/core/attributes.py",
        "return replace(self, content_encoding=content_encoding, metadata=metadata)",
        "return Attributes(self.content_type, content_encoding, metadata)",
        "tests/unit/cold/test_compress.py::test_an_object_shrinks_and_reads_as_before",
    ),
    Bug(
        "tags are forgotten where nothing counts them",
        "storage/cold/compress.py",
        "tags = {} if seen.tag_count == 0 else replacer.tags(key)",
        "tags = {} if not seen.tag_count else replacer.tags(key)",
        "tests/unit/cold/test_compress.py::test_tags_are_asked_for_where_nothing_counts_them",
    ),
    Bug(
        "a lost answer counts as somebody else's write",
        "storage/cold/compress.py",
        "return look(replacer, key, compression.etag, compression)",
        'return Rewritten(status="overtaken", why="written anew")',
        "tests/unit/cold/test_compress_races.py::test_a_lost_answer_is_looked_up",
    ),
    Bug(
        "a twin's form is taken for one's own",
        "storage/cold/compress.py",
        "found.etag == etag and found == (compression or found)",
        "found.etag == etag",
        "tests/unit/cold/test_compress_races.py::test_a_lost_answer_is_not_ours_when_a_twin_was_faster",
    ),
    Bug(
        "metadata is believed that says compressed",
        "storage/cold/compress.py",
        "        decompressing_reader.check(replacer, seen, compression)\n",
        "",
        "tests/unit/cold/test_compress.py::test_metadata_that_lies_is_reported_and_the_object_left",
    ),
    Bug(
        "a bomb is unpacked to its end",
        "storage/cold/decompressing_reader.py",
        "                if size > compression.size:\n",
        "                if size < 0:\n",
        "tests/unit/cold/test_decompressing_reader.py::test_a_bomb_is_never_unpacked_further_than_it_declares",
    ),
    Bug(
        "what is said to be huge is believed",
        "storage/cold/decompressing_reader.py",
        "if size > MOST_RATIO * stored else",
        "if size > MOST_RATIO**5 * stored else",
        "tests/unit/cold/test_decompressing_reader.py::test_a_bomb_is_never_unpacked_further_than_it_declares",
    ),
    Bug(
        "a hash is not compared",
        "storage/cold/decompressing_reader.py",
        "if sum.hexdigest() != compression.sha256:",
        "if not compression.sha256:",
        "tests/unit/cold/test_decompressing_reader.py::test_metadata_that_lies_is_found_out",
    ),
    Bug(
        "the last bytes come before the hash was compared",
        "storage/cold/decompressing_reader.py",
        "                if held:\n                    yield held\n                held = piece\n",
        "                yield piece\n",
        "tests/unit/cold/test_decompressing_reader.py::test_metadata_that_lies_is_found_out",
    ),
    Bug(
        "a range begins a byte late",
        "storage/cold/decompressing_reader.py",
        "piece[max(0, start - at) : stop - at]",
        "piece[max(0, start - at + 1) : stop - at]",
        "tests/unit/cold/test_decompressing_reader.py::test_every_range_of_every_form",
    ),
    Bug(
        "a zstd window that browsers refuse",
        "storage/cold/codecs.py",
        "WINDOW = 23",
        "WINDOW = 27",
        "tests/unit/cold/test_codecs.py::test_the_window_is_one_that_browsers_take",
    ),
    Bug(
        "memory is written before the ledger",
        _ACTION,
        "        if self.savings:\n"
        "            stores.cold.enter(self.savings)\n"
        "        if self.records:\n"
        "            stores.cold.save_records(self.records)\n",
        "        stores.cold.save_records(self.records)\n        stores.cold.enter(self.savings)\n",
        "tests/unit/cold/test_compress_action.py::test_a_kill_at_any_moment_is_made_good_by_the_next_night",
    ),
    Bug(
        "a pause loses what was found before it",
        _ACTION,
        "        finally:\n            findings.write(work.stores)",
        "        except OSError:\n            findings.write(work.stores)",
        "tests/unit/cold/test_compress_action.py::test_a_pause_stops_before_the_next_object_and_keeps_what_was_found",
    ),
    Bug(
        "the version left behind is not counted",
        _ACTION,
        "left_behind=made.compression.size if work.stores.replacer.versioned() else 0,",
        "left_behind=0,",
        "tests/unit/cold/test_compress_action.py::test_the_version_left_behind_is_counted",
    ),
    Bug(
        "the job behind an object is not looked at again",
        _ACTION,
        "if why := changed_owner(self.owner, self.owner_updated_at, jobs):",
        "if why := changed_owner(None, self.owner_updated_at, jobs):",
        "tests/unit/cold/test_compress_action.py::test_a_job_that_moved_on_keeps_its_objects",
    ),
    Bug(
        "looking again believes the metadata",
        _ACTION,
        "            if _readable(now):\n",
        "            if not now:\n",
        "tests/unit/cold/test_compress_action.py::test_looking_again_finds_a_store_that_lies",
    ),
    Bug(
        "what was decompressed by hand is compressed the next night",
        "storage/cold/decompress.py",
        'replace(record, compression="skipped", skipped=BY_HAND)',
        "record",
        "tests/unit/cold/test_compress_action.py::test_what_comes_back_is_entered_and_stays_as_it_is",
    ),
)

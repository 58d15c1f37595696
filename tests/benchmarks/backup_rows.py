"""The rows that are backed up, made by the server itself. There are two kinds; docs/measured.md has both.

``documents``, unless asked otherwise: what the pipeline's documents put into the database: jobs, and the API
keys that sent them. Outputs and transcripts are objects in the bucket, and a row has only their paths.

``transcripts``: beside each job a text of words drawn at random. No database of the pipeline has it. There is
hardly anything harder to compress: gzip manages 10 MB/s of it, 16 of prose, and 45 of the jobs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.benchmarks.environment import Environment

MB = 1_000_000
KEYS = 200
WORDS = """the of and to a in is that it was for on are as with they be at one have this from or had by hot
word but what some we can out other were all there when up use your how said each she which do their time if
will way about many then them write would like so these her long make thing see him two has look more day
could go come did number sound no most people over know water than call first who may down side been now
find any new work part take get place made live where after back little only round man year came show every
good me give our under name very through just form sentence great think say help low line differ turn cause
much mean before move right boy old too same tell does set three want air well also play small end put home
read hand port large spell add even land here must big high such follow act why ask men change went light"""
NEW_KEYS = """
INSERT INTO api_keys SELECT encode(sha256(('key-' || n)::bytea), 'hex'), n * 10 ^ 9, random() * 10 ^ 9
FROM generate_series(0, {keys} - 1) AS n ON CONFLICT DO NOTHING"""
# Ids, hashes, sizes and times are as good as random. Only a job that ended well has outputs.
NEW_JOBS = """
INSERT INTO jobs
SELECT id, encode(sha256(('key-' || (hashint4(-n) & 65535) % {keys})::bytea), 'hex'),
    CASE WHEN well THEN 'completed' WHEN badly THEN 'failed' WHEN chance < 97 THEN 'cleaned_up'
        ELSE (ARRAY['queued', 'processing', 'transcoding'])[chance - 96] END,
    random() * 4e9, CASE WHEN well THEN random() * 4e8 END, CASE WHEN well THEN random() * 9e8 END,
    CASE WHEN well THEN random() * 6e7 END, CASE WHEN well THEN random() * 4e8 END,
    CASE WHEN well THEN random() * 9e8 END,
    home || '360p/video_360p.mp4', home || '720p/video_720p.mp4', home || 'audio/audio.mp3',
    home || 'transcription/transcript.txt', home || 'transcription/transcript.srt',
    home || 'transcription/transcript.vtt', home || 'transcription/transcript.json',
    encode(sha256(id::bytea), 'hex'),
    CASE WHEN badly OR chance BETWEEN 94 AND 96
        THEN 'ffmpeg exited with code ' || n % 255 || ' at segment ' || n % 977 END,
    made, made + random() * interval '2 hours', CASE WHEN well THEN made + random() * interval '2 hours' END
FROM generate_series({first}, {last}) AS n, CAST(md5(n::text)::uuid AS text) AS id,
    CAST((hashint4(n) & 65535) % 100 AS int) AS chance, CAST(chance < 80 AS bool) AS well,
    CAST(chance BETWEEN 80 AND 93 AS bool) AS badly,
    CAST(CASE WHEN well THEN concat('processed/', id, '/') END AS text) AS home,
    CAST(timestamptz '2026-01-01' + n * interval '11 seconds' AS timestamptz) AS made"""
TRANSCRIPTS = """
CREATE TABLE IF NOT EXISTS transcripts (
    job_id varchar(64) PRIMARY KEY, language text NOT NULL, confidence real NOT NULL, words text NOT NULL)"""
# As in speech some words are far more frequent than others. The number of words follows from the row's
# number: a query that did not look at the row would run once, and all transcripts were the same.
NEW_TRANSCRIPTS = """
INSERT INTO transcripts
SELECT md5(n::text)::uuid, 'en', random(), array_to_string(ARRAY(
    SELECT words[1 + floor(random() ^ 2 * array_length(words, 1))::int]
    FROM generate_series(1, 240 + n % 60)), ' ')
FROM generate_series({first}, {last}) AS n, string_to_array('{words}', ' ') AS words"""


@dataclass(frozen=True)
class Kind:
    """Rows of one kind: how they are made, and how many jobs a megabyte of a plain dump holds."""

    statements: tuple[str, ...]
    jobs_a_mb: int
    rows_a_job: int = 1
    tables: str = "jobs, api_keys"


DOCUMENTS, TRANSCRIBED = "documents", "transcripts"
KINDS: Mapping[str, Kind] = {
    DOCUMENTS: Kind((NEW_KEYS, NEW_JOBS), 1385),
    TRANSCRIBED: Kind(
        (NEW_KEYS, NEW_JOBS, TRANSCRIPTS, NEW_TRANSCRIPTS), 500, 2, "jobs, api_keys, transcripts"
    ),
}


def grow(on: Environment, kind: Kind, first: int, last: int) -> None:
    """Jobs ``first`` to ``last``, of a random sequence that is always the same."""
    place = {"first": first, "last": last, "words": " ".join(WORDS.split()), "keys": KEYS}
    with on.database.connect("bench") as session, session.cursor() as cursor:
        cursor.execute("SET ROLE bench")
        cursor.execute("SELECT setseed(0.5)")
        for statement in kind.statements:
            cursor.execute(statement.format(**place))
        cursor.execute("RESET ROLE")
        cursor.execute(f"VACUUM (FREEZE, ANALYZE) {kind.tables}")  # else the first reader would do it
        cursor.execute("CHECKPOINT")


def size(on: Environment) -> int:
    """Bytes of the database."""
    with on.database.connect("bench") as session, session.cursor() as cursor:
        cursor.execute("SELECT pg_database_size('bench')")
        (found,) = cursor.fetchone() or (0,)
        return int(found)

"""The rows that are backed up: jobs, and a transcript for each, made by the server itself."""

from __future__ import annotations

from tests.benchmarks.ground import Ground

MB = 1_000_000
JOBS_A_MB = 530  # each with its transcript: about 1.9 kB in a plain dump
WORDS = """the of and to a in is that it was for on are as with they be at one have this from or had by hot
word but what some we can out other were all there when up use your how said each she which do their time if
will way about many then them write would like so these her long make thing see him two has look more day
could go come did number sound no most people over know water than call first who may down side been now
find any new work part take get place made live where after back little only round man year came show every
good me give our under name very through just form sentence great think say help low line differ turn cause
much mean before move right boy old too same tell does set three want air well also play small end put home
read hand port large spell add even land here must big high such follow act why ask men change went light"""
TRANSCRIPTS = """
CREATE TABLE IF NOT EXISTS transcripts (
    job_id varchar(64) PRIMARY KEY, language text NOT NULL, confidence real NOT NULL, words text NOT NULL)"""
NEW_JOBS = """
INSERT INTO jobs
SELECT id, 'key-' || n % 200, (ARRAY['completed', 'completed', 'completed', 'failed', 'queued'])[1 + n % 5],
    random() * 4e9, random() * 4e8, random() * 9e8, random() * 6e7, random() * 4e8, random() * 9e8,
    home || '360p.mp4', home || '720p.mp4', home || 'audio.mp3', home || 'transcript.txt',
    home || 'transcript.srt', home || 'transcript.vtt', home || 'transcript.json',
    encode(sha256(id::bytea), 'hex'),
    CASE WHEN n % 5 = 3 THEN 'ffmpeg ended with ' || n % 255 || ' at segment ' || n % 977 END,
    made, made + random() * interval '2 hours',
    CASE WHEN n % 5 < 3 THEN made + random() * interval '2 hours' END
FROM generate_series({first}, {last}) AS n, CAST(md5(n::text)::uuid AS text) AS id,
    concat('processed/', id, '/') AS home,
    CAST(timestamptz '2026-01-01' + n * interval '11 seconds' AS timestamptz) AS made"""
# As in speech some words are far more frequent than others. The number of words follows from the row's
# number: a query that did not look at the row would run once, and all transcripts were the same.
NEW_TRANSCRIPTS = """
INSERT INTO transcripts
SELECT md5(n::text)::uuid, 'en', random(), array_to_string(ARRAY(
    SELECT words[1 + floor(random() ^ 2 * array_length(words, 1))::int]
    FROM generate_series(1, 240 + n % 60)), ' ')
FROM generate_series({first}, {last}) AS n, string_to_array('{words}', ' ') AS words"""


def grow(on: Ground, first: int, last: int) -> None:
    """Jobs ``first`` to ``last``, of a random sequence that is always the same."""
    place = {"first": first, "last": last, "words": " ".join(WORDS.split())}
    with on.database.connect("bench") as session, session.cursor() as cursor:
        cursor.execute("SET ROLE bench")
        cursor.execute("SELECT setseed(0.5)")
        for statement in (TRANSCRIPTS, NEW_JOBS, NEW_TRANSCRIPTS):
            cursor.execute(statement.format(**place))
        cursor.execute("RESET ROLE")
        cursor.execute("VACUUM (FREEZE, ANALYZE) jobs, transcripts")  # else the first reader would do it
        cursor.execute("CHECKPOINT")


def size(on: Ground) -> int:
    """Bytes of the database."""
    with on.database.connect("bench") as session, session.cursor() as cursor:
        cursor.execute("SELECT pg_database_size('bench')")
        (found,) = cursor.fetchone() or (0,)
        return int(found)

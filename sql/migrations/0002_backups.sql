-- The catalogue of backups. The manifests in the backup bucket are the truth; this table can be rebuilt from them.
CREATE TABLE maintenance.backups (
    id text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('database', 'metadata')),
    state text NOT NULL CHECK (state IN ('running', 'complete', 'proven', 'failed', 'expired')),
    taken_at timestamptz NOT NULL,
    size bigint NOT NULL DEFAULT 0,
    items bigint NOT NULL DEFAULT 0,     -- rows of a database, objects of a bucket
    manifest_sha256 text NOT NULL DEFAULT '',
    message text NOT NULL DEFAULT '',
    pinned text NOT NULL DEFAULT '',     -- why it is kept for ever; '' where it is not
    finished_at timestamptz,
    proven_at timestamptz,
    certificate jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX backups_by_kind ON maintenance.backups (kind, taken_at DESC);

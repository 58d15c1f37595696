-- Objects that lay in quarantine for long, noted once for each etag.
CREATE TABLE maintenance.quarantine_notes (
    bucket text NOT NULL,
    key text NOT NULL,
    etag text NOT NULL,
    size bigint NOT NULL,
    last_modified timestamptz NOT NULL,
    run_id text NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (bucket, key, etag)
);

-- Every lifecycle configuration a bucket had, as far as this platform saw or made it.
CREATE TABLE maintenance.lifecycle_versions (
    bucket text NOT NULL,
    number integer NOT NULL,             -- from 1, for each bucket
    state text NOT NULL CHECK (state IN ('found', 'begun', 'applied', 'failed')),
    document bytea NOT NULL,             -- its very bytes; empty: there was none
    sha256 text NOT NULL,
    plan_sha256 text NOT NULL DEFAULT '',
    requested text[] NOT NULL DEFAULT '{}',      -- the rules a person asked for by name
    left_out jsonb NOT NULL DEFAULT '{}',        -- what the store did not take: id to [why, form]
    by text NOT NULL,
    note text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (bucket, number)
);

-- Cold data: what nights found of objects, where they were sent, when they were read, and what it saved.
CREATE TABLE maintenance.cold_objects (
    bucket text NOT NULL,
    key text NOT NULL,
    etag text NOT NULL,                  -- what is remembered is of this form of the object only
    size bigint NOT NULL,
    object_class text NOT NULL,
    owner text,
    coding text NOT NULL CHECK (coding IN ('', 'compressed', 'skipped')),
    skipped text NOT NULL DEFAULT '',    -- why compressing it is not worth while
    tier text NOT NULL CHECK (tier IN ('hot', 'warm', 'cold')),
    tier_state text NOT NULL CHECK (tier_state IN ('', 'asked', 'held', 'stuck')),
    asked_at timestamptz,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (bucket, key)
);
CREATE INDEX cold_objects_moving ON maintenance.cold_objects (bucket, key) WHERE tier_state IN ('asked', 'stuck');

-- The ledger: one row a measured change; nothing in it is ever changed.
CREATE TABLE maintenance.savings (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    run_id text NOT NULL,
    bucket text NOT NULL,
    key text NOT NULL,
    object_class text NOT NULL,
    owner text,
    api_key text,
    kind text NOT NULL CHECK (kind IN ('compress', 'decompress', 'transition', 'return')),
    etag text NOT NULL,
    before_bytes bigint NOT NULL,
    after_bytes bigint NOT NULL,
    left_behind_bytes bigint NOT NULL,   -- of the version that the change left, where versions are kept
    tier text NOT NULL,
    codec text NOT NULL
);
CREATE INDEX savings_by_key ON maintenance.savings (bucket, key, id DESC);
CREATE INDEX savings_by_time ON maintenance.savings (bucket, at);

CREATE TABLE maintenance.accesses (
    bucket text NOT NULL,
    key text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (bucket, key)
);

CREATE TABLE maintenance.cold_pins (
    owner text PRIMARY KEY,              -- a job whose objects stay as they are
    reason text NOT NULL,
    by text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);

-- The platform's own tables. They live in their own schema and never in the pipeline's.
CREATE TABLE maintenance.runs (
    id text PRIMARY KEY,
    job text NOT NULL,
    as_of timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('planned', 'refused', 'waiting', 'applying', 'verified', 'failed')),
    plan_uri text NOT NULL DEFAULT '',
    plan_sha256 text NOT NULL DEFAULT '',
    considered_count bigint NOT NULL DEFAULT 0,
    considered_bytes bigint NOT NULL DEFAULT 0,
    planned_count bigint NOT NULL DEFAULT 0,
    planned_bytes bigint NOT NULL DEFAULT 0,
    done_count bigint NOT NULL DEFAULT 0,
    done_bytes bigint NOT NULL DEFAULT 0,
    skipped_count bigint NOT NULL DEFAULT 0,
    skipped_bytes bigint NOT NULL DEFAULT 0,
    failed_count bigint NOT NULL DEFAULT 0,
    failed_bytes bigint NOT NULL DEFAULT 0,
    params jsonb NOT NULL DEFAULT '{}',
    message text NOT NULL DEFAULT '',
    approved_by text NOT NULL DEFAULT '',
    approved_sha256 text NOT NULL DEFAULT '',
    requested_by text NOT NULL DEFAULT '',
    started_at timestamptz,
    finished_at timestamptz
);
CREATE INDEX runs_by_job ON maintenance.runs (job, started_at DESC);

-- One row a finished batch: written after its acts, so a crash repeats acts and never loses them.
CREATE TABLE maintenance.batches (
    run_id text NOT NULL REFERENCES maintenance.runs (id),
    plan_sha256 text NOT NULL,           -- of the plan it is a batch of: a run may be planned anew
    number integer NOT NULL,
    done_count bigint NOT NULL,
    done_bytes bigint NOT NULL,
    skipped_count bigint NOT NULL,
    skipped_bytes bigint NOT NULL,
    failed_count bigint NOT NULL,
    failed_bytes bigint NOT NULL,
    not_done bigint[] NOT NULL,          -- plan lines that were skipped or failed
    details jsonb NOT NULL,              -- [[status, reason, count], ...]
    finished_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, plan_sha256, number)
);

CREATE TABLE maintenance.tombstones (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id text NOT NULL,
    job text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('job', 'object', 'file')),
    place text NOT NULL,
    key text NOT NULL,
    size bigint NOT NULL,
    seen text NOT NULL,
    reason text NOT NULL,
    delete_after timestamptz NOT NULL,
    owner text,
    owner_updated_at timestamptz,
    goes_with_job boolean NOT NULL DEFAULT false,
    held_at text NOT NULL DEFAULT '',
    state text NOT NULL DEFAULT 'condemned'
        CHECK (state IN ('condemned', 'reaping', 'reaped', 'undone', 'kept')),
    note text NOT NULL DEFAULT '',
    condemned_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX tombstones_open ON maintenance.tombstones (kind, place, md5(key))
    WHERE state IN ('condemned', 'reaping');
CREATE INDEX tombstones_due ON maintenance.tombstones (delete_after) WHERE state IN ('condemned', 'reaping');
CREATE INDEX tombstones_run ON maintenance.tombstones (run_id, id);
CREATE INDEX tombstones_owner ON maintenance.tombstones (owner) WHERE state IN ('condemned', 'reaping');

-- A failed job turned to cleaned_up whose objects are not all gone yet.
CREATE TABLE maintenance.claims (
    owner text PRIMARY KEY,
    run_id text NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz
);

-- Multipart uploads begun by this platform or reported by the pipeline: some stores forget theirs.
CREATE TABLE maintenance.uploads (
    upload_id text PRIMARY KEY,
    bucket text NOT NULL,
    key text NOT NULL,
    initiated_at timestamptz NOT NULL DEFAULT now(),
    heartbeat_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz
);

CREATE TABLE maintenance.capabilities (
    endpoint text PRIMARY KEY,
    found jsonb NOT NULL,
    probed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE maintenance.control (
    name text PRIMARY KEY,
    value text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

-- Append-only: who did what, when.
CREATE TABLE maintenance.audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL DEFAULT current_user,
    event text NOT NULL,
    run_id text NOT NULL DEFAULT '',
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE FUNCTION maintenance.audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'maintenance.audit is append-only';
END $$;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON maintenance.audit
    FOR EACH ROW EXECUTE FUNCTION maintenance.audit_is_append_only();
CREATE TRIGGER audit_is_never_emptied BEFORE TRUNCATE ON maintenance.audit
    FOR EACH STATEMENT EXECUTE FUNCTION maintenance.audit_is_append_only();

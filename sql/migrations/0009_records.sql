-- Old records are removed. Indexes to find them by age, and to find the newest runs however many there are.
CREATE INDEX tombstones_closed ON maintenance.tombstones (changed_at, id)
    WHERE state IN ('reaped', 'undone', 'kept') AND (kind <> 'file' OR state = 'reaped');
CREATE INDEX claims_open ON maintenance.claims (run_id) WHERE closed_at IS NULL;
CREATE INDEX claims_closed ON maintenance.claims (closed_at, owner) WHERE closed_at IS NOT NULL;
CREATE INDEX audit_by_time ON maintenance.audit (at, id);
CREATE INDEX audit_of_keys ON maintenance.audit ((detail ->> 'key')) WHERE event = 'acted';
-- Tables that others write to or read all the time come last: they are locked until the end of this migration.
CREATE INDEX uploads_open ON maintenance.uploads (bucket, key, upload_id) WHERE closed_at IS NULL;
CREATE INDEX uploads_closed ON maintenance.uploads (closed_at, upload_id) WHERE closed_at IS NOT NULL;
DROP INDEX maintenance.runs_by_job;
CREATE INDEX runs_by_job ON maintenance.runs (job, state, started_at DESC NULLS LAST, id DESC);
-- In another order of NULLs than the one above: a planner must not take this one to find a job's newest runs.
CREATE INDEX runs_by_start ON maintenance.runs (started_at, id);

-- The first plan line of each batch, counted from 0: which lines it did. NULL for batches from before.
ALTER TABLE maintenance.batches ADD COLUMN first_line bigint;

-- The audit is append-only, except that entries older than a year may go; STORAGE_KEEP_AUDIT_DAYS says when.
CREATE OR REPLACE FUNCTION maintenance.audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.at < now() - interval '365 days' THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'maintenance.audit is append-only';
END $$;

-- A rejected plan stays rejected. An approval is of the plan that was recorded when it was asked for.
ALTER TABLE maintenance.runs
    DROP CONSTRAINT runs_state_check,
    ADD CONSTRAINT runs_state_check CHECK (
        state IN ('planned', 'refused', 'waiting', 'rejected', 'applying', 'verified', 'failed')),
    ADD COLUMN asked_in text,
    ADD COLUMN asked_sha256 text;
CREATE UNIQUE INDEX runs_asked_in ON maintenance.runs (asked_in);

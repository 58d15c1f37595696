-- Old records are removed: indexes to find them by age, and to find the newest runs however many there are.
DROP INDEX maintenance.runs_by_job;
CREATE INDEX runs_by_job ON maintenance.runs (job, state, started_at DESC NULLS LAST, id DESC);
CREATE INDEX runs_by_start ON maintenance.runs (started_at DESC NULLS LAST, id DESC);

-- What operators decided, after a restore, of jobs whose row or files it left in doubt.
CREATE TABLE maintenance.verdicts (
    owner text NOT NULL,                 -- the job's id
    epoch timestamptz NOT NULL,          -- when the database was restored
    verdict text NOT NULL CHECK (verdict IN ('adopt', 'condemn')),
    by text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz,               -- when its epoch was closed; it condemns nothing before
    PRIMARY KEY (owner, epoch)
);
CREATE INDEX verdicts_condemned ON maintenance.verdicts (owner) WHERE verdict = 'condemn' AND closed_at IS NOT NULL;

-- What a run left alone for a reason that its report should tell: the number of items by reason.
ALTER TABLE maintenance.runs ADD COLUMN kept jsonb NOT NULL DEFAULT '{}';

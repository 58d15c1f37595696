-- Each run names the bucket it works on: a plan is carried out in no other. '' for runs from before.
ALTER TABLE maintenance.runs ADD COLUMN bucket text NOT NULL DEFAULT '';

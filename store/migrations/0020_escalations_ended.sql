-- What ended lately is asked for by when it ended.
CREATE INDEX escalations_ended_at ON escalations (ended_at) WHERE ended_at IS NOT NULL;

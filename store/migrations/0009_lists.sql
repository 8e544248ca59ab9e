-- Lists: the escalations that run are found without reading those that ended.

CREATE INDEX escalations_running ON escalations (id) WHERE ended_at IS NULL;

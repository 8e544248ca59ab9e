-- Who is dead is asked for by status: the index was on another column, and served nobody.
DROP INDEX agents_dead;
CREATE INDEX agents_dead ON agents (id) WHERE status IN ('dead', 'dead_failed_revive') AND hidden_at IS NULL;

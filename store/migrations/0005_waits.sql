-- Waits: who waits for a human and is left in peace, and how often a rate limit named no end.

ALTER TABLE agents ADD COLUMN asking BIGINT NOT NULL DEFAULT 0 CHECK (asking >= 0);
ALTER TABLE assignments ADD COLUMN backoffs BIGINT NOT NULL DEFAULT 0 CHECK (backoffs >= 0);

UPDATE agents SET asking = (
    SELECT count(*) FROM assignments
    WHERE agent = agents.name AND ended_at IS NULL AND status = 'waiting' AND wait_kind = 'human'
);

-- Whom no ping may reach now: few, and known to the pinger without looking at anybody else.
CREATE INDEX agents_unpinged ON agents (name) WHERE asking > 0 OR paused;

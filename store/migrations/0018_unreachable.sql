-- Since when no ping could be delivered to an agent's address: it is offered nothing meanwhile.
ALTER TABLE agents ADD COLUMN unreachable_since BIGINT;
CREATE INDEX agents_unreachable ON agents (id) WHERE unreachable_since IS NOT NULL;
DROP INDEX assignments_unreachable;

-- Since when an agent's credentials and tokens are ended, and it has no new one.
ALTER TABLE agents ADD COLUMN revoked_at BIGINT;

-- Which machine's daemon may speak for an agent's process, where an operator says so.
ALTER TABLE agents ADD COLUMN kept_by TEXT;

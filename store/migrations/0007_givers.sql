-- Who may hand work to an agent: an operator's word; an empty list is any agent.

ALTER TABLE agents ADD COLUMN assignable_by TEXT NOT NULL DEFAULT '[]';

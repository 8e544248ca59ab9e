-- name: load_escalations -> Escalation
-- The escalations that a batch's leases belong to; :keys is a JSON array.
SELECT {columns} FROM escalations
WHERE id IN (SELECT value /*pg: ::bigint */ FROM /*sqlite: json_each(:keys) *//*pg: json_array_elements_text(:keys ::json) AS t (value) */);

-- name: insert_escalation <- Escalation
-- A new escalation with its own copy of the policy.
INSERT INTO escalations ({columns}) VALUES ({values});

-- name: update_escalation <- Escalation
-- How far an escalation has come.
UPDATE escalations SET {changes but id, task_id} WHERE id = :id AND version = :expected;

-- name: insert_step <- StepRow
-- What became of a policy step: taken once for a lease, though it may have been skipped before.
INSERT INTO escalation_steps ({columns}) VALUES ({values})
ON CONFLICT (assignment_id, step) DO UPDATE SET
    outcome = excluded.outcome, target = excluded.target, reason = excluded.reason,
    successor_id = excluded.successor_id, at = excluded.at
WHERE escalation_steps.outcome = 'skipped';

-- name: load_policies -> Policy
-- The policies that a batch's tasks follow; :keys is a JSON array.
SELECT {columns} FROM policies
WHERE name IN (SELECT value FROM /*sqlite: json_each(:keys) *//*pg: json_array_elements_text(:keys ::json) AS t (value) */);

-- name: insert_policy <- Policy
-- A new policy.
INSERT INTO policies ({columns}) VALUES ({values});

-- name: update_policy <- Policy
-- Another text of a policy; running escalations keep theirs.
UPDATE policies SET {changes but name} WHERE name = :name AND version = :expected;

-- name: list_policies -> Policy
-- All policies by name.
SELECT {columns} FROM policies ORDER BY name;

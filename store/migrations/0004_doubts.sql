-- Pings that may have come late are asked for. Comments and reasons stand in schema.sql.
CREATE TABLE doubts (
    assignment_id   BIGINT NOT NULL,
    attempt         BIGINT NOT NULL CHECK (attempt > 0),
    subject         TEXT NOT NULL,
    message_id      TEXT NOT NULL,
    ask_at          BIGINT NOT NULL,
    asked           BIGINT NOT NULL,
    PRIMARY KEY (assignment_id, attempt)
);

CREATE INDEX doubts_ask_at ON doubts (ask_at);

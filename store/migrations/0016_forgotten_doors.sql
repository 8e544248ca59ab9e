-- What lets nobody in any more is found by its end, and forgotten.
CREATE INDEX tokens_expires_at ON tokens (expires_at);
CREATE INDEX credentials_expires_at ON credentials (expires_at);

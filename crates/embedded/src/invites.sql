-- Invites. hash is that of the code that the invited people have.
CREATE TABLE IF NOT EXISTS invites (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL,
    uses_left INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    revision TEXT NOT NULL
) WITHOUT ROWID;

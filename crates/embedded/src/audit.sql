-- What admins have done, by an id that begins with the time.
CREATE TABLE IF NOT EXISTS audit (
    id TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    by TEXT NOT NULL,
    action TEXT NOT NULL,
    user TEXT NOT NULL,
    address TEXT
) WITHOUT ROWID;

-- Uploads that can be resumed, each as one JSON object. They are removed when their file is complete,
-- and some time after they have ended without one.
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY,
    upload TEXT NOT NULL
) WITHOUT ROWID;

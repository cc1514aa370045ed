-- Schema 1 of lakechat.db. Ids are 63-bit numbers, times are milliseconds since 1970, booleans are
-- 0 and 1.

-- One value per row: partitions (never changes), and log_end and log_time, the offset and append time
-- at which the log continues after trimming deleted its last record.
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value NOT NULL
) WITHOUT ROWID;

-- The log. All partitions share one sequence of offsets, so within a partition offsets have gaps.
-- append_ms never falls.
CREATE TABLE log (
    offset INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    append_ms INTEGER NOT NULL,
    channel TEXT NOT NULL,
    record TEXT NOT NULL
);

-- The first offset that each partition still has. No row: the partition was never trimmed.
CREATE TABLE log_kept (
    partition INTEGER PRIMARY KEY,
    start INTEGER NOT NULL
);

-- Per partition, up to where the history is complete: the first offset not stored, the last id below
-- it, and the append time of the last record below it that was not late.
CREATE TABLE marks (
    partition INTEGER PRIMARY KEY,
    offset INTEGER NOT NULL,
    id INTEGER NOT NULL,
    time INTEGER NOT NULL
);

-- A row without a sender is a change whose message is not stored yet: skip it. edit_id is the edit
-- that set the text, changed the last change of any kind.
CREATE TABLE messages (
    channel TEXT NOT NULL,
    id INTEGER NOT NULL,
    sender TEXT,
    text TEXT,
    sent_at INTEGER,
    client_msg_id TEXT,
    n INTEGER,
    reply_to INTEGER,
    file_id TEXT,
    file_name TEXT,
    file_size INTEGER,
    file_type TEXT,
    edited_at INTEGER,
    edit_id INTEGER,
    deleted_at INTEGER,
    changed INTEGER,
    private INTEGER NOT NULL,
    PRIMARY KEY (channel, id)
) WITHOUT ROWID;

-- Reactions to message `id`; "on" is 0 where a reaction was removed.
CREATE TABLE reactions (
    channel TEXT NOT NULL,
    id INTEGER NOT NULL,
    emoji TEXT NOT NULL,
    user TEXT NOT NULL,
    "on" INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    PRIMARY KEY (channel, id, emoji, user)
) WITHOUT ROWID;

-- Changes of messages, by the change's own id; target is the message.
CREATE TABLE changes (
    channel TEXT NOT NULL,
    id INTEGER NOT NULL,
    target INTEGER NOT NULL,
    kind TEXT NOT NULL,
    user TEXT NOT NULL,
    emoji TEXT,
    "on" INTEGER,
    private INTEGER NOT NULL,
    PRIMARY KEY (channel, id)
) WITHOUT ROWID;

-- Members; role none means a former member. changed is the id of the event that set the role.
CREATE TABLE members (
    channel TEXT NOT NULL,
    user TEXT NOT NULL,
    role TEXT NOT NULL,
    joined_at INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    PRIMARY KEY (channel, user)
) WITHOUT ROWID;
CREATE INDEX members_by_user ON members (user, channel);

-- A row without a kind has the topic or archival of a channel whose creation is not stored.
CREATE TABLE channels (
    name TEXT PRIMARY KEY,
    kind TEXT,
    creator TEXT,
    created_at INTEGER,
    topic TEXT,
    topic_id INTEGER,
    archived_id INTEGER
) WITHOUT ROWID;

CREATE TABLE users (
    name TEXT PRIMARY KEY,
    password_hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    admin INTEGER,
    disabled INTEGER
) WITHOUT ROWID;

-- replaced_hash, replaced_seed and replaced_at describe the refresh token before the valid one; NULL
-- before the first refresh. address and client are those of the login or of the latest refresh.
CREATE TABLE sessions (
    user TEXT NOT NULL,
    id TEXT NOT NULL,
    refresh_hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked INTEGER NOT NULL,
    replaced_hash TEXT,
    replaced_seed TEXT,
    replaced_at INTEGER,
    address TEXT,
    client TEXT,
    PRIMARY KEY (user, id)
) WITHOUT ROWID;

-- path: relative to the folder `files`; data: the bytes of a small file; parts: of a file that lies in
-- several pieces, [{"path":…,"size":…},…] in their order. Exactly one is set.
CREATE TABLE files (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    type TEXT NOT NULL,
    uploader TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    path TEXT,
    data BLOB,
    parts TEXT
);

CREATE TABLE file_posts (
    file_id TEXT NOT NULL,
    channel TEXT NOT NULL,
    PRIMARY KEY (file_id, channel)
) WITHOUT ROWID;

-- Schema 1 of lakechat.db. Ids are the 63-bit numbers of protocol and row contract, times are
-- milliseconds since 1970, booleans are 0 and 1.

-- One value each: partitions (a constant of the log's life), and the offset and time from which the
-- log goes on where trimming took its last record.
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value NOT NULL
) WITHOUT ROWID;

-- The log. One sequence of offsets over all partitions, so within a partition offsets have gaps.
-- append_ms never falls.
CREATE TABLE log (
    offset INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    append_ms INTEGER NOT NULL,
    channel TEXT NOT NULL,
    record TEXT NOT NULL
);

-- Below these offsets partitions were trimmed; no row: nothing was.
CREATE TABLE log_kept (
    partition INTEGER PRIMARY KEY,
    start INTEGER NOT NULL
);

-- Up to where history holds everything of a partition.
CREATE TABLE marks (
    partition INTEGER PRIMARY KEY,
    offset INTEGER NOT NULL,
    id INTEGER NOT NULL,
    time INTEGER NOT NULL
);

-- A row without a sender is a change whose message is still to be stored: skip it. edit_id is the
-- edit that gave the text, changed the last change of any kind.
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

-- Who reacted to message `id`; "on" is 0 where a reaction was taken back.
CREATE TABLE reactions (
    channel TEXT NOT NULL,
    id INTEGER NOT NULL,
    emoji TEXT NOT NULL,
    user TEXT NOT NULL,
    "on" INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    PRIMARY KEY (channel, id, emoji, user)
) WITHOUT ROWID;

-- What happened to messages, by the change's own id.
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

-- Who is (role none: was) a member; changed is the event that gave the role.
CREATE TABLE members (
    channel TEXT NOT NULL,
    user TEXT NOT NULL,
    role TEXT NOT NULL,
    joined_at INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    PRIMARY KEY (channel, user)
) WITHOUT ROWID;
CREATE INDEX members_by_user ON members (user, channel);

-- A row without a kind is what the log says of a channel that nobody has made.
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
    created_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE sessions (
    user TEXT NOT NULL,
    id TEXT NOT NULL,
    refresh_hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked INTEGER NOT NULL,
    PRIMARY KEY (user, id)
) WITHOUT ROWID;

-- path: within the folder `files`; data: the bytes of a small file. One of them stands.
CREATE TABLE files (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    type TEXT NOT NULL,
    uploader TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    path TEXT,
    data BLOB
);

CREATE TABLE file_posts (
    file_id TEXT NOT NULL,
    channel TEXT NOT NULL,
    PRIMARY KEY (file_id, channel)
) WITHOUT ROWID;

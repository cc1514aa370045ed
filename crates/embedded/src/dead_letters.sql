-- Records of the log that can't be decoded, kept for people to examine.
CREATE TABLE IF NOT EXISTS dead_letters (
    partition INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    append_ms INTEGER NOT NULL,
    channel TEXT NOT NULL,
    record TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (partition, offset)
) WITHOUT ROWID;

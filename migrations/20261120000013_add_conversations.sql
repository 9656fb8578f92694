-- The conversations of agents, as they were when checkpoints were taken. Expands only.

CREATE TABLE checkpoint_conversations (
    task_id         uuid NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    -- The checkpoint that it goes with; 0 before the first.
    number          integer NOT NULL CHECK (number >= 0),
    epoch           bigint NOT NULL CHECK (epoch > 0),
    -- The client that wrote it.
    client          text NOT NULL,
    -- What the client calls it, and where its file was below the client's directory.
    session         text NOT NULL CHECK (length(session) <= 200),
    path            text NOT NULL CHECK (length(path) <= 1000),
    content_gzip    bytea NOT NULL CHECK (length(content_gzip) <= 10485760),
    unpacked_bytes  bigint NOT NULL,
    -- Of the compressed content.
    sha256          bytea NOT NULL CHECK (length(sha256) = 32),
    expires_at      timestamptz NOT NULL,
    PRIMARY KEY (task_id, number)
);
-- It is compressed already, as patches are.
ALTER TABLE checkpoint_conversations ALTER COLUMN content_gzip SET STORAGE EXTERNAL;
CREATE INDEX checkpoint_conversations_expiry ON checkpoint_conversations (expires_at);

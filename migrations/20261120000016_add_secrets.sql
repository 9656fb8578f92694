-- Secrets of owners, sealed with a key that PostgreSQL never sees, and which of them a task's agent gets. Expands only.
CREATE TABLE owner_secrets (
    owner_id    uuid NOT NULL REFERENCES owners ON DELETE CASCADE,
    name        text NOT NULL CHECK (name ~ '^[A-Za-z_][A-Za-z0-9_]*$' AND length(name) <= 128),
    -- Which key sealed it, by a digest of that key.
    key_id      text NOT NULL CHECK (key_id ~ '^[0-9a-f]{16}$'),
    nonce       bytea NOT NULL CHECK (octet_length(nonce) = 24),
    ciphertext  bytea NOT NULL CHECK (octet_length(ciphertext) BETWEEN 16 AND 65536),
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, name)
);

-- Names alone, as they were asked for: a name, or a variable and a name.
ALTER TABLE tasks
    ADD COLUMN secrets  jsonb NOT NULL DEFAULT '[]';

-- What people say to agents while a task goes on. Expands only.

ALTER TABLE tasks
    -- The number of its newest message: a worker that looks at what it holds sees at once whether there are new ones.
    ADD COLUMN last_message  integer NOT NULL DEFAULT 0;

CREATE TABLE task_messages (
    task_id          uuid NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    number           integer NOT NULL CHECK (number > 0),
    -- The agent's client keeps it beside the message, which tells whether a conversation has it.
    id               uuid NOT NULL UNIQUE,
    text             text NOT NULL CHECK (octet_length(text) <= 65536),
    created_at       timestamptz NOT NULL DEFAULT now(),
    -- When the agent took it up last, and in which attempt.
    delivered_at     timestamptz,
    delivered_epoch  bigint,
    PRIMARY KEY (task_id, number),
    CONSTRAINT delivery_is_whole_or_none CHECK ((delivered_at IS NULL) = (delivered_epoch IS NULL))
);
CREATE INDEX task_messages_waiting ON task_messages (task_id) WHERE delivered_at IS NULL;

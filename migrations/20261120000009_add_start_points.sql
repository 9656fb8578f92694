-- Where a task's work starts, which ignored files its checkpoints keep, and what an agent says about a checkpoint that it asked
-- for. Expands only.
ALTER TABLE tasks
    -- No key: a task that is deleted leaves those that would go on from it, which then say so.
    ADD COLUMN continue_from_task_id  uuid,
    ADD COLUMN checkpoint_sha         text CHECK (checkpoint_sha ~ '^[0-9a-f]{40}$'),
    ADD COLUMN copy_files             text[] NOT NULL DEFAULT '{}',
    ADD COLUMN keep_ignored           text[] NOT NULL DEFAULT '{}';

ALTER TABLE task_checkpoints
    ADD COLUMN message  text CHECK (length(message) <= 2000);

-- New values may not be used before this transaction has ended, and are not.
ALTER TYPE checkpoint_trigger ADD VALUE IF NOT EXISTS 'quiet';
ALTER TYPE checkpoint_trigger ADD VALUE IF NOT EXISTS 'asked';

-- What an owner may do to a task later (start it again, change it, delete it), and what is kept for how long. Expands only.

ALTER TABLE tasks
    -- Checkpoints of attempts up to this epoch are of a run that ended well: a task that is started again after that begins
    -- anew.
    ADD COLUMN resumes_after_epoch  bigint NOT NULL DEFAULT 0 CHECK (resumes_after_epoch >= 0),
    -- Attempts up to this epoch are of an earlier run: their failures are not held against the one after it.
    ADD COLUMN restarted_at_epoch   bigint NOT NULL DEFAULT 0 CHECK (restarted_at_epoch >= 0),
    -- There is output to be pruned some time after its end. True for what was there before; what a worker of the version
    -- before writes from here on is not marked, and stays.
    ADD COLUMN has_output           boolean NOT NULL DEFAULT true;
ALTER TABLE tasks ALTER COLUMN has_output SET DEFAULT false;
CREATE INDEX tasks_output_kept ON tasks (finished_at) WHERE has_output AND finished_at IS NOT NULL;

-- Tasks that are gone and had more events than one transaction should delete: those are still to go.
CREATE TABLE deleted_tasks (
    id          uuid PRIMARY KEY,
    deleted_at  timestamptz NOT NULL DEFAULT now()
);

-- Whoever deletes a task deletes its key with it.
CREATE INDEX idempotency_keys_task ON idempotency_keys (task_id) WHERE task_id IS NOT NULL;

-- Workers that are gone and never had a task are deleted a while after their end. A claim names a worker whose live row it
-- has just read, so the key always fits: checking it at every claim costs a look-up and a lock, and checking it at a delete a
-- pass over all attempts.
CREATE INDEX workers_to_prune ON workers (ended_at) WHERE ended_at IS NOT NULL AND claimed_count = 0;
ALTER TABLE attempts DROP CONSTRAINT attempts_worker_id_fkey;

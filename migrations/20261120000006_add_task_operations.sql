-- What an owner may do to a task later (start it again, change it, delete it), and what is kept for how long. Expands only.

ALTER TABLE tasks
    -- Checkpoints of attempts up to this epoch are of a run that ended well: a task that is started again after that begins
    -- anew.
    ADD COLUMN resumes_after_epoch  bigint NOT NULL DEFAULT 0 CHECK (resumes_after_epoch >= 0),
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

-- Workers that are gone are deleted once no attempt names them. A claim names a worker whose live row it has just read, and
-- a dead row is deleted a week after its end, so the key always fits; checking it at every claim would cost a look-up and a
-- lock, and checking it at a delete a pass over all attempts.
CREATE INDEX workers_ended ON workers (ended_at) WHERE ended_at IS NOT NULL;
ALTER TABLE attempts DROP CONSTRAINT attempts_worker_id_fkey;

-- How healthy a worker is: its beats, its sign of life in Redis, its quarantine; and which failures were a worker's.
-- Expand only: the version before neither reads nor writes any of this. It cannot read an attempt with the new outcome,
-- which only workers of this version write: bring the API up to date before them.

ALTER TABLE workers
    -- How often the worker renews its lease, and when it last did. They say something only once `has_presence` is set.
    ADD COLUMN beat_ms            integer NOT NULL DEFAULT 2000 CHECK (beat_ms > 0),
    ADD COLUMN renewed_at         timestamptz NOT NULL DEFAULT now(),
    -- The worker has subscribed to its channel in Redis, so that the end of its connection tells something.
    ADD COLUMN has_presence       boolean NOT NULL DEFAULT false,
    -- The last quarantine: from when, to when, why. It is over when `quarantined_until` has passed.
    ADD COLUMN quarantined_at     timestamptz,
    ADD COLUMN quarantined_until  timestamptz,
    ADD COLUMN quarantine_reason  text,
    ADD CONSTRAINT quarantined_with_a_reason
        CHECK (num_nulls(quarantined_at, quarantined_until, quarantine_reason) IN (0, 3));

-- The failure was the worker's, not the task's: the task excludes the worker.
ALTER TABLE attempts ADD COLUMN blames_worker boolean NOT NULL DEFAULT false;
CREATE INDEX attempts_blaming ON attempts (ended_at, worker_id) WHERE blames_worker;

ALTER TYPE attempt_outcome ADD VALUE IF NOT EXISTS 'repository_unreachable';

-- Queued tasks that exclude somebody: few, among any number that do not.
CREATE INDEX tasks_excluding ON tasks (queued_at) WHERE status = 'queued' AND excluded_worker_ids <> '{}';

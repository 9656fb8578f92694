-- Exact release by counters, labels, limits, weights, and bulk submission. Expands only: the version before goes on while
-- this runs, and what it writes is counted later (undone_parents is null until then).

-- What an owner may have. Null is no limit.
ALTER TABLE owners
    ADD COLUMN weight                      integer NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 1000),
    ADD COLUMN max_running                 integer CHECK (max_running > 0),
    ADD COLUMN max_running_per_contract    integer CHECK (max_running_per_contract > 0),
    ADD COLUMN max_running_per_repository  integer CHECK (max_running_per_repository > 0),
    ADD COLUMN submissions_per_minute      integer CHECK (submissions_per_minute > 0),
    -- Its tasks need a slot before they are released.
    ADD COLUMN limited                     boolean GENERATED ALWAYS AS (
        max_running IS NOT NULL OR max_running_per_contract IS NOT NULL OR max_running_per_repository IS NOT NULL) STORED;

-- none: the owner has no limit on running tasks, or the task is not released. waiting: only a slot is missing.
-- held: the task is released and counts against its owner's limits.
CREATE TYPE slot_state AS ENUM ('none', 'waiting', 'held');

ALTER TABLE tasks
    ADD COLUMN contract_id       uuid,
    ADD COLUMN labels            text[] NOT NULL DEFAULT '{}',
    -- How many of its dependencies are not satisfied: exact, because whoever satisfies one holds this row's lock. Null in rows
    -- that the version before wrote; the scheduler counts those.
    ADD COLUMN undone_parents    integer CHECK (undone_parents >= 0),
    ADD COLUMN slot              slot_state NOT NULL DEFAULT 'none',
    -- How many edges that are not satisfied lead to it, at most: whoever adds one holds this row's lock, so that the end of the
    -- task knows whether it saw them all.
    ADD COLUMN open_children     integer NOT NULL DEFAULT 0 CHECK (open_children >= 0),
    -- It ended, and tasks that depend on it are still to be told.
    ADD COLUMN children_waiting  boolean NOT NULL DEFAULT false;

ALTER TABLE task_dependencies ADD COLUMN satisfied boolean NOT NULL DEFAULT false;

UPDATE task_dependencies d SET satisfied = true
FROM tasks p WHERE p.id = d.depends_on_task_id AND p.status IN ('done', 'merged');
UPDATE tasks t SET undone_parents =
    (SELECT count(*) FROM task_dependencies d WHERE d.task_id = t.id AND NOT d.satisfied)
WHERE status = 'pending';
UPDATE tasks p SET open_children = open.count
FROM (SELECT depends_on_task_id, count(*) FROM task_dependencies WHERE NOT satisfied GROUP BY 1) AS open
WHERE p.id = open.depends_on_task_id;
UPDATE tasks p SET children_waiting = true
WHERE status IN ('failed', 'cancelled') AND open_children > 0;
UPDATE tasks SET not_before = now() WHERE status = 'pending' AND undone_parents = 0 AND not_before IS NULL;

-- What the reconcilers look for. Each index holds only rows that there is something to do with.
CREATE INDEX tasks_due ON tasks (not_before) WHERE status = 'pending' AND undone_parents = 0 AND slot = 'none';
CREATE INDEX tasks_uncounted ON tasks (id) WHERE status = 'pending' AND undone_parents IS NULL;
CREATE INDEX tasks_children_waiting ON tasks (id) WHERE children_waiting;
CREATE INDEX tasks_slot_waiting ON tasks (owner_id, priority DESC, id) WHERE slot = 'waiting';
CREATE INDEX tasks_slot_held ON tasks (owner_id) WHERE slot = 'held';
CREATE INDEX tasks_of_contract ON tasks (contract_id, id DESC) WHERE contract_id IS NOT NULL;
DROP INDEX tasks_pending;
DROP INDEX tasks_queued;
CREATE INDEX tasks_queued ON tasks (queued_at, id) WHERE status = 'queued';

-- Renewals of leases change no indexed column, so each is a heap-only update.
DROP INDEX workers_live;
CREATE INDEX workers_not_ended ON workers (id) WHERE ended_at IS NULL;

-- An event is written by the statement that holds its task's row, so the key always fits; checking it again costs a look-up
-- for every event. Whoever deletes a task deletes its events.
ALTER TABLE task_events DROP CONSTRAINT task_events_task_id_fkey;

-- A bulk submission has one key for all of its tasks.
ALTER TABLE idempotency_keys
    ALTER COLUMN task_id DROP NOT NULL,
    ADD COLUMN task_ids uuid[],
    ADD CONSTRAINT key_of_one_task_or_of_many CHECK ((task_id IS NULL) <> (task_ids IS NULL));
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

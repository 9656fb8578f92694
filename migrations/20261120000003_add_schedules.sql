-- Cron schedules, and what came of each due time.

CREATE TYPE missed_runs AS ENUM ('skip', 'run_once');

CREATE TYPE schedule_run_outcome AS ENUM ('submitted', 'skipped_missed', 'skipped_overlap', 'refused');

CREATE TABLE schedules (
    id             uuid PRIMARY KEY,
    owner_id       uuid NOT NULL REFERENCES owners (id),
    name           text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    cron           text NOT NULL CHECK (length(cron) BETWEEN 1 AND 200),
    time_zone      text NOT NULL,
    -- The submission of the task, as a client sends one.
    task           jsonb NOT NULL,
    missed_runs    missed_runs NOT NULL DEFAULT 'skip',
    allow_overlap  boolean NOT NULL DEFAULT true,
    -- The due time that is dealt with next; none if there is never one again. It moves with the row of its run alone.
    next_due_at    timestamptz,
    -- The task that was submitted last. No foreign key: a task that is gone has ended.
    last_task_id   uuid,
    version        integer NOT NULL DEFAULT 1,
    created_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX schedules_of_owner ON schedules (owner_id, id DESC);
CREATE INDEX schedules_due ON schedules (next_due_at) WHERE next_due_at IS NOT NULL;

-- One row a due time, however often and by whomever it is dealt with: the key forbids a second one.
CREATE TABLE schedule_runs (
    schedule_id   uuid NOT NULL REFERENCES schedules (id) ON DELETE CASCADE,
    due_at        timestamptz NOT NULL,
    -- Where the row stands for several missed due times: it stands for all up to this moment.
    missed_until  timestamptz,
    task_id       uuid REFERENCES tasks (id) ON DELETE SET NULL,
    outcome       schedule_run_outcome NOT NULL,
    message       text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (schedule_id, due_at),
    CONSTRAINT only_what_was_submitted_has_a_task CHECK (task_id IS NULL OR outcome = 'submitted'),
    CONSTRAINT refused_exactly_with_words CHECK ((outcome = 'refused') = (message IS NOT NULL))
);
CREATE INDEX schedule_runs_of_task ON schedule_runs (task_id) WHERE task_id IS NOT NULL;

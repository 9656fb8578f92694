-- The first schema of makima. PostgreSQL is the truth; what Redis holds can be rebuilt from these tables.
-- Child tables carry no owner: a row's owner is its task's, so the two can never differ.

CREATE TYPE task_status AS ENUM (
    'pending', 'queued', 'starting', 'running', 'paused', 'interrupted', 'done', 'merged', 'failed', 'cancelled'
);

CREATE TYPE attempt_outcome AS ENUM (
    'completed', 'agent_failed', 'timed_out', 'preparation_failed', 'worker_lost', 'workspace_lost', 'handed_back',
    'cancelled'
);

CREATE TYPE completion_action AS ENUM ('none', 'push');

CREATE TYPE event_kind AS ENUM ('status', 'output', 'checkpoint', 'notice');

CREATE TYPE checkpoint_trigger AS ENUM ('interval', 'agent_ended', 'drain');

CREATE TABLE owners (
    id          uuid PRIMARY KEY,
    name        text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
    id          uuid PRIMARY KEY,
    owner_id    uuid NOT NULL REFERENCES owners (id) ON DELETE CASCADE,
    name        text NOT NULL,
    -- SHA-256 of the whole key. A key has 256 random bits, so a slow hash would add nothing.
    key_sha256  bytea NOT NULL UNIQUE CHECK (length(key_sha256) = 32),
    created_at  timestamptz NOT NULL DEFAULT now(),
    revoked_at  timestamptz
);
CREATE INDEX api_keys_owner ON api_keys (owner_id);

CREATE TABLE workers (
    id                uuid PRIMARY KEY,
    name              text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    host              text NOT NULL,
    pid               integer NOT NULL,
    version           text NOT NULL,
    slots             integer NOT NULL CHECK (slots BETWEEN 1 AND 1024),
    labels            text[] NOT NULL DEFAULT '{}',
    registered_at     timestamptz NOT NULL DEFAULT now(),
    -- The worker holds its tasks until this moment by the database's clock.
    lease_expires_at  timestamptz NOT NULL,
    draining          boolean NOT NULL DEFAULT false,
    -- Set when the worker said goodbye or its lease was found dead; a worker never comes back from it.
    ended_at          timestamptz
);
CREATE INDEX workers_live ON workers (lease_expires_at) WHERE ended_at IS NULL;

CREATE TABLE tasks (
    id                        uuid PRIMARY KEY,
    owner_id                  uuid NOT NULL REFERENCES owners (id),
    parent_task_id            uuid REFERENCES tasks (id) ON DELETE SET NULL,

    -- What was asked.
    name                      text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    plan                      text NOT NULL,
    description               text,
    repository_url            text NOT NULL,
    base_branch               text,
    target_branch             text,
    agent                     jsonb NOT NULL,
    env                       jsonb NOT NULL DEFAULT '{}',
    priority                  smallint NOT NULL DEFAULT 50 CHECK (priority BETWEEN 0 AND 100),
    max_retries               smallint NOT NULL DEFAULT 3 CHECK (max_retries BETWEEN 0 AND 100),
    timeout_secs              integer CHECK (timeout_secs > 0),
    checkpoint_interval_secs  integer NOT NULL DEFAULT 30 CHECK (checkpoint_interval_secs > 0),
    run_at                    timestamptz,
    completion_action         completion_action NOT NULL DEFAULT 'none',

    -- Where it stands. Written by the named transitions of shared/src/store/tasks/ alone.
    status                    task_status NOT NULL,
    epoch                     bigint NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    worker_id                 uuid REFERENCES workers (id),
    retry_count               smallint NOT NULL DEFAULT 0,
    not_before                timestamptz,
    excluded_worker_ids       uuid[] NOT NULL DEFAULT '{}',
    queued_at                 timestamptz,
    status_code               text,
    status_message            text,

    -- What came of it.
    base_commit               text CHECK (base_commit ~ '^[0-9a-f]{40}([0-9a-f]{24})?$'),
    result_branch             text,
    result_commit             text CHECK (result_commit ~ '^[0-9a-f]{40}([0-9a-f]{24})?$'),
    completion_error          text,

    -- The number of the task's newest event; events are numbered from 1 without gaps.
    last_sequence             bigint NOT NULL DEFAULT 0,
    last_checkpoint           integer NOT NULL DEFAULT 0,
    -- How many batches of output the current attempt has written: a batch that is sent again after a lost reply is known by it.
    output_batches            bigint NOT NULL DEFAULT 0,
    version                   integer NOT NULL DEFAULT 1,
    created_at                timestamptz NOT NULL DEFAULT now(),
    updated_at                timestamptz NOT NULL DEFAULT now(),
    finished_at               timestamptz,

    CONSTRAINT held_by_a_worker_exactly_while_active
        CHECK ((status IN ('starting', 'running')) = (worker_id IS NOT NULL)),
    CONSTRAINT finished_exactly_while_terminal
        CHECK ((status IN ('done', 'merged', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
    CONSTRAINT queued_has_a_time
        CHECK (status <> 'queued' OR queued_at IS NOT NULL),
    CONSTRAINT failed_has_a_reason
        CHECK (status <> 'failed' OR status_code IS NOT NULL),
    CONSTRAINT active_has_an_epoch
        CHECK (status NOT IN ('starting', 'running', 'done', 'merged') OR epoch > 0),
    CONSTRAINT retries_are_bounded
        CHECK (retry_count BETWEEN 0 AND max_retries)
);
CREATE INDEX tasks_of_owner ON tasks (owner_id, id DESC);
CREATE INDEX tasks_of_parent ON tasks (parent_task_id) WHERE parent_task_id IS NOT NULL;
CREATE INDEX tasks_pending ON tasks (not_before) WHERE status = 'pending';
CREATE INDEX tasks_queued ON tasks (queued_at) WHERE status = 'queued';
CREATE INDEX tasks_of_worker ON tasks (worker_id) WHERE worker_id IS NOT NULL;

-- Edges of the task graph. A task may only depend on tasks that exist when it is submitted, so the graph has no cycle.
CREATE TABLE task_dependencies (
    task_id             uuid NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    depends_on_task_id  uuid NOT NULL REFERENCES tasks (id),
    PRIMARY KEY (task_id, depends_on_task_id),
    CONSTRAINT no_task_waits_for_itself CHECK (task_id <> depends_on_task_id)
);
CREATE INDEX task_dependencies_children ON task_dependencies (depends_on_task_id);

CREATE TABLE idempotency_keys (
    owner_id        uuid NOT NULL REFERENCES owners (id) ON DELETE CASCADE,
    key             text NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
    request_sha256  bytea NOT NULL CHECK (length(request_sha256) = 32),
    task_id         uuid NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, key)
);

CREATE TABLE attempts (
    task_id        uuid NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    epoch          bigint NOT NULL CHECK (epoch > 0),
    worker_id      uuid NOT NULL REFERENCES workers (id),
    claimed_at     timestamptz NOT NULL DEFAULT now(),
    started_at     timestamptz,
    resumed_from   integer,
    ended_at       timestamptz,
    outcome        attempt_outcome,
    exit_code      integer,
    error_code     text,
    error_message  text,
    -- The commit that this attempt was about to push: written before the push, so that the next attempt knows it as its own task's.
    pushing_commit text,
    PRIMARY KEY (task_id, epoch),
    CONSTRAINT ended_exactly_with_an_outcome CHECK ((ended_at IS NULL) = (outcome IS NULL))
);
-- At most one attempt of a task is open.
CREATE UNIQUE INDEX attempts_open ON attempts (task_id) WHERE ended_at IS NULL;

CREATE TABLE task_events (
    task_id     uuid NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    sequence    bigint NOT NULL CHECK (sequence > 0),
    epoch       bigint NOT NULL,
    kind        event_kind NOT NULL,
    data        jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (task_id, sequence)
);

CREATE TABLE task_checkpoints (
    task_id        uuid NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    number         integer NOT NULL CHECK (number > 0),
    epoch          bigint NOT NULL CHECK (epoch > 0),
    trigger        checkpoint_trigger NOT NULL,
    base_commit    text NOT NULL,
    tree_id        text NOT NULL,
    files_changed  integer NOT NULL,
    lines_added    bigint NOT NULL,
    lines_removed  bigint NOT NULL,
    duration_ms    integer NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (task_id, number)
);

CREATE TABLE checkpoint_patches (
    task_id         uuid NOT NULL,
    number          integer NOT NULL,
    patch_gzip      bytea NOT NULL CHECK (length(patch_gzip) <= 10485760),
    unpacked_bytes  bigint NOT NULL,
    sha256          bytea NOT NULL CHECK (length(sha256) = 32),
    expires_at      timestamptz NOT NULL,
    PRIMARY KEY (task_id, number),
    FOREIGN KEY (task_id, number) REFERENCES task_checkpoints (task_id, number) ON DELETE CASCADE
);
-- The patch is compressed already: storing it out of line as it is saves PostgreSQL a second try.
ALTER TABLE checkpoint_patches ALTER COLUMN patch_gzip SET STORAGE EXTERNAL;
CREATE INDEX checkpoint_patches_expiry ON checkpoint_patches (expires_at);

-- Which process leads a duty that only one may have at a time. A row and a clock instead of a session lock, so that it
-- works behind a connection pooler in transaction mode.
CREATE TABLE leader_leases (
    duty        text PRIMARY KEY,
    holder      uuid NOT NULL,
    expires_at  timestamptz NOT NULL
);

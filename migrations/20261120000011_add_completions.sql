-- What becomes of a result beyond a branch of its own: merges and pull requests, how they ended, and the wish to try again.
-- Expands only. A worker of the version before does not know the new actions: submit tasks with them once all are new.

-- Not used in this transaction, which PostgreSQL would refuse.
ALTER TYPE completion_action ADD VALUE 'merge';
ALTER TYPE completion_action ADD VALUE 'pr';

CREATE TYPE merge_strategy AS ENUM ('merge', 'squash');

ALTER TABLE tasks
    ADD COLUMN merge_strategy   merge_strategy NOT NULL DEFAULT 'merge',
    -- How the completion action ended, as the API tells it; none before the first end, and for ends of before this column.
    ADD COLUMN completion       jsonb,
    -- Its next attempt delivers the work of the last checkpoint and runs no agent.
    ADD COLUMN completion_only  boolean NOT NULL DEFAULT false;

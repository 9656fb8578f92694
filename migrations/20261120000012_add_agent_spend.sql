-- What agents spend, how much of it a task may have, and two more ways in which an attempt can end. Expands only. The version
-- before cannot show attempts that ended in the new ways: submit tasks for clients once all are new.

-- Not used in this transaction, which PostgreSQL would refuse.
ALTER TYPE attempt_outcome ADD VALUE IF NOT EXISTS 'agent_limited';
ALTER TYPE attempt_outcome ADD VALUE IF NOT EXISTS 'over_budget';

ALTER TABLE tasks
    -- What all attempts together may spend; no limit if none.
    ADD COLUMN max_cost_usd  double precision CHECK (max_cost_usd > 0),
    ADD COLUMN max_tokens    bigint CHECK (max_tokens > 0);

ALTER TABLE attempts
    ADD COLUMN input_tokens         bigint NOT NULL DEFAULT 0,
    ADD COLUMN cached_input_tokens  bigint NOT NULL DEFAULT 0,
    ADD COLUMN output_tokens        bigint NOT NULL DEFAULT 0,
    ADD COLUMN cost_usd             double precision;

-- What a worker has done in its life, as it tells with its beats: rates are differences of these, so nobody has to count
-- tasks for them.
ALTER TABLE workers
    ADD COLUMN claimed_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN done_count    bigint NOT NULL DEFAULT 0;

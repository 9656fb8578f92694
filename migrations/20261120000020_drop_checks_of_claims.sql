-- What a claim writes always fits: it has just read the row of its worker, and holds that of its task. Checking both again
-- for each task cost a third of the claim. Whoever deletes a task deletes its attempts; a worker that is deleted holds none.
ALTER TABLE tasks DROP CONSTRAINT tasks_worker_id_fkey;
ALTER TABLE attempts DROP CONSTRAINT attempts_task_id_fkey;

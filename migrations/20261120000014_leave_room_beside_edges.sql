-- An edge is updated once, when it is satisfied. With room left on its page for the new version the update is heap-only: it
-- writes no entry into either index. The version before is served as before.
ALTER TABLE task_dependencies SET (fillfactor = 45);

-- How two tables are kept, for what is written to them again and again. The version before is served as before.

-- An edge is updated once, when it is satisfied. With room left on its page for the new version the update is heap-only: it
-- writes no entry into either index.
ALTER TABLE task_dependencies SET (fillfactor = 45);

-- Each renewal of a lease updates a row and changes nothing that a plan depends on. An analysis a minute, which is what a large
-- fleet would bring about, makes the connections of all its workers plan their renewals anew.
ALTER TABLE workers SET (autovacuum_analyze_threshold = 100000, fillfactor = 50);

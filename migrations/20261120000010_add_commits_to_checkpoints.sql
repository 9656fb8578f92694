-- The commits that the agent made itself, beside the patch. Expands only.

ALTER TABLE checkpoint_patches
    -- A git pack of the commits that the base does not have, thin: it builds on objects of the base. Empty if the base has
    -- them all.
    ADD COLUMN commits_pack    bytea CHECK (length(commits_pack) <= 10485760),
    -- Where HEAD and the local branches are: {"head": {"branch": "x"} or {"commit": "<id>"}, "branches": {"x": "<id>"}}.
    ADD COLUMN commits_refs    jsonb,
    -- SHA-256 of both.
    ADD COLUMN commits_sha256  bytea CHECK (length(commits_sha256) = 32),
    ADD CONSTRAINT commits_are_whole_or_none
        CHECK ((commits_pack IS NULL) = (commits_refs IS NULL) AND (commits_pack IS NULL) = (commits_sha256 IS NULL));
-- A pack is compressed already, as the patch is.
ALTER TABLE checkpoint_patches ALTER COLUMN commits_pack SET STORAGE EXTERNAL;

-- An operator looks after the whole installation: such a key sees every owner's load, though none of their tasks.
ALTER TABLE api_keys ADD COLUMN operator boolean NOT NULL DEFAULT false;

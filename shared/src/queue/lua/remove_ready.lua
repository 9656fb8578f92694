-- Takes a task out that is not to be dispatched any more, and its lane out of the books when it is empty.
-- KEYS[1] root     every name below starts with it
-- ARGV[1] task id
-- ARGV[2] owner
-- ARGV[3] labels that it asks for, with spaces between
local root, id, owner, labels = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local lane = root .. ':lane:' .. owner .. ':' .. labels
redis.call('ZREM', lane, id)
redis.call('HDEL', root .. ':excluded', id)
if redis.call('EXISTS', lane) == 0 then
  redis.call('ZREM', root .. ':owners:' .. labels, owner)
  if redis.call('EXISTS', root .. ':owners:' .. labels) == 0 then
    redis.call('SREM', root .. ':label_sets', labels)
    redis.call('DEL', root .. ':passes:' .. labels, root .. ':weights:' .. labels)
  end
end
return redis.status_reply('OK')

-- Takes the first ready tasks that a worker may have. A worker that gets none is entered as waiting in the same step, so
-- that no task can slip in between.
-- KEYS[1] ready    sorted set of task ids
-- KEYS[2] excluded hash: task id -> worker ids with spaces between
-- KEYS[3] waiting  sorted set of worker ids, by since when they wait
-- ARGV[1] worker id
-- ARGV[2] how many tasks it wants
-- ARGV[3] how many ready tasks are looked at for that at most
-- Returns the task ids.
local wanted, looks = tonumber(ARGV[2]), tonumber(ARGV[3])
local taken, offset = {}, 0
while #taken < wanted and offset < looks do
  local page = redis.call('ZRANGE', KEYS[1], offset, offset + 31)
  if #page == 0 then break end
  local exclusions = redis.call('HMGET', KEYS[2], unpack(page))
  for i, id in ipairs(page) do
    local excluded = exclusions[i]
    if #taken < wanted and not (excluded and string.find(excluded, ARGV[1], 1, true)) then
      taken[#taken + 1] = id
    end
  end
  offset = offset + #page
end
if #taken == 0 then
  local now = redis.call('TIME')
  redis.call('ZADD', KEYS[3], 'NX', now[1] * 1000000 + now[2], ARGV[1])
else
  redis.call('ZREM', KEYS[1], unpack(taken))
  redis.call('HDEL', KEYS[2], unpack(taken))
  redis.call('ZREM', KEYS[3], ARGV[1])
end
return taken

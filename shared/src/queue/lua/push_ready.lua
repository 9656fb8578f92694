-- Enters tasks as ready and rings for each the worker that has waited longest and may have it.
-- KEYS[1] ready    sorted set of task ids
-- KEYS[2] excluded hash: task id -> worker ids with spaces between
-- KEYS[3] waiting  sorted set of worker ids, by since when they wait
-- ARGV[1] prefix of the inbox keys
-- ARGV[2] how long an unread inbox lives, in milliseconds
-- ARGV[3 ..] for each task: id, score, excluded worker ids with spaces between ('' for none)
-- Returns how many workers were rung.
local rung = 0
for i = 3, #ARGV, 3 do
  local id, score, excluded = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  redis.call('ZADD', KEYS[1], score, id)
  if excluded == '' then
    redis.call('HDEL', KEYS[2], id)
  else
    redis.call('HSET', KEYS[2], id, excluded)
  end
  for _, worker in ipairs(redis.call('ZRANGE', KEYS[3], 0, 15)) do
    if not string.find(excluded, worker, 1, true) then
      redis.call('ZREM', KEYS[3], worker)
      redis.call('LPUSH', ARGV[1] .. worker, 'claim')
      redis.call('PEXPIRE', ARGV[1] .. worker, ARGV[2])
      rung = rung + 1
      break
    end
  end
end
return rung

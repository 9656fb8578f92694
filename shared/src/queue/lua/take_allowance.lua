-- Takes tasks out of what an owner may submit, or gives them back: a bucket that holds a minute's worth and fills evenly.
--
-- One number is kept, the time at which the bucket will be full again (the generic cell rate algorithm: ITU-T I.371, annex A).
-- A request for more than the bucket holds is taken when it is full, and paid off after that: nothing is refused for ever.
-- KEYS[1] root     the name below starts with it
-- ARGV[1] owner
-- ARGV[2] how many tasks; what is given back is below zero
-- ARGV[3] how many tasks the bucket gets in a minute
-- Returns how many milliseconds to wait until they can be had; 0 if they were.
local MINUTE = 60000000
local key, tasks, limit = KEYS[1] .. ':allowance:' .. ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full_at = math.max(tonumber(redis.call('GET', key) or '0'), now)
if tasks > 0 then
  local wait = full_at + math.min(tasks, limit) * MINUTE / limit - now - MINUTE
  -- Less than a microsecond is what the division lost.
  if wait >= 1 then return math.ceil(wait / 1000) end
end
full_at = full_at + tasks * MINUTE / limit
if full_at <= now then
  redis.call('DEL', key)
else
  redis.call('SET', key, string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000))
end
return 0

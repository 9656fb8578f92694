-- Takes a worker out of those that wait, and rings others in its place. Who still waited has no bell. Who did not was rung
-- or is busy: if the bell is unread others have to hear it, and if it is not, the worker may have died of it.
-- KEYS[1] root     every name below starts with it
-- ARGV[1] worker id
-- ARGV[2] how long an unread inbox lives, in milliseconds
-- ARGV[3] how many workers are rung for unread bells; without any it is one
-- ARGV[4] 1 if the worker is gone for good, and its inbox with it
-- Returns how many workers were rung.
local root, worker, ttl_ms = KEYS[1], ARGV[1], ARGV[2]
local waiting, inbox = root .. ':waiting', root .. ':inbox:' .. worker
local waited = redis.call('ZREM', waiting, worker)
local unread = redis.call('LREM', inbox, 0, 'claim')
if ARGV[4] == '1' then
  redis.call('DEL', inbox)
  redis.call('HDEL', root .. ':offers', worker)
end
if waited == 1 then return 0 end
local count = unread > 0 and tonumber(ARGV[3]) or 1
local heirs = redis.call('ZRANGE', waiting, 0, count - 1)
for _, heir in ipairs(heirs) do
  redis.call('ZREM', waiting, heir)
  redis.call('LPUSH', root .. ':inbox:' .. heir, 'claim')
  redis.call('PEXPIRE', root .. ':inbox:' .. heir, ttl_ms)
end
return #heirs

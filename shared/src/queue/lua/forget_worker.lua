-- Takes a worker out of those that wait, and rings others in its place. Who still waited has no bell. Who did not was rung
-- or is busy: if the bell is unread others have to hear it, and if it is not, the worker may have died of it.
-- KEYS[1] waiting  sorted set of worker ids, by since when they wait
-- KEYS[2] inbox    list of messages for the worker
-- ARGV[1] worker id
-- ARGV[2] prefix of the inbox keys
-- ARGV[3] how long an unread inbox lives, in milliseconds
-- ARGV[4] how many workers are rung for unread bells; without any it is one
-- ARGV[5] 1 if the worker is gone for good, and its inbox with it
-- Returns how many workers were rung.
local waited = redis.call('ZREM', KEYS[1], ARGV[1])
local unread = redis.call('LREM', KEYS[2], 0, 'claim')
if ARGV[5] == '1' then redis.call('DEL', KEYS[2]) end
if waited == 1 then return 0 end
local count = unread > 0 and tonumber(ARGV[4]) or 1
local heirs = redis.call('ZRANGE', KEYS[1], 0, count - 1)
for _, worker in ipairs(heirs) do
  redis.call('ZREM', KEYS[1], worker)
  redis.call('LPUSH', ARGV[2] .. worker, 'claim')
  redis.call('PEXPIRE', ARGV[2] .. worker, ARGV[3])
end
return #heirs

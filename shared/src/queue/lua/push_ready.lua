-- Enters tasks as ready and rings for each the worker that has waited longest and may have it.
--
-- A lane holds the ready tasks of one owner that ask for the same labels. An owner that comes back joins the others where
-- they are now, or where it left if that is ahead of them: it has saved nothing up, and leaving pays nothing off.
-- KEYS[1] root     every name below starts with it
-- ARGV[1] how long an unread inbox lives, in milliseconds
-- ARGV[2] `missing` leaves tasks as they are that are in already: the caller may know less than who entered them
-- ARGV[3 ..] for each task: id, score, owner, weight, labels with spaces between, excluded worker ids with spaces between
-- Returns how many workers were rung.
local root, ttl_ms, only_missing = KEYS[1], ARGV[1], ARGV[2] == 'missing'
local excluded_key, waiting_key = root .. ':excluded', root .. ':waiting'
local PAGE, MAX_LOOKS = 32, 1024

local waiting, offers, next_page = {}, {}, 0
local function load_waiting()
  if next_page >= MAX_LOOKS then return false end
  local page = redis.call('ZRANGE', waiting_key, next_page, next_page + PAGE - 1)
  next_page = next_page + PAGE
  if #page == 0 then next_page = MAX_LOOKS return false end
  local offered = redis.call('HMGET', root .. ':offers', unpack(page))
  for i, worker in ipairs(page) do
    waiting[#waiting + 1] = worker
    offers[worker] = ' ' .. (offered[i] or '') .. ' '
  end
  return true
end

local function may_have(worker, labels, excluded)
  if string.find(excluded, worker, 1, true) then return false end
  for label in string.gmatch(labels, '%S+') do
    if not string.find(offers[worker], ' ' .. label .. ' ', 1, true) then return false end
  end
  return true
end

local nobody = {}
local function ring(labels, excluded)
  if nobody[labels] then return 0 end
  local i = 1
  while true do
    if i > #waiting and not load_waiting() then
      nobody[labels] = excluded == ''
      return 0
    end
    local worker = waiting[i]
    if may_have(worker, labels, excluded) then
      table.remove(waiting, i)
      redis.call('ZREM', waiting_key, worker)
      redis.call('LPUSH', root .. ':inbox:' .. worker, 'claim')
      redis.call('PEXPIRE', root .. ':inbox:' .. worker, ttl_ms)
      -- Pages are counted from the front of the set, which has just become shorter.
      if next_page < MAX_LOOKS then next_page = next_page - 1 end
      return 1
    end
    i = i + 1
  end
end

local has_exclusions = redis.call('EXISTS', excluded_key) == 1
local lanes, entered = {}, {}
for i = 3, #ARGV, 6 do
  local id, score, owner, weight, labels, excluded =
    ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5]
  local lane = root .. ':lane:' .. owner .. ':' .. labels
  if not (only_missing and redis.call('ZSCORE', lane, id)) then
    entered[#entered + 1] = i
    if excluded ~= '' then redis.call('HSET', excluded_key, id, excluded)
    elseif has_exclusions then redis.call('HDEL', excluded_key, id) end
    local entries = lanes[lane]
    if entries then
      entries[#entries + 1], entries[#entries + 2] = score, id
    else
      lanes[lane] = { score, id }
      redis.call('HSET', root .. ':weights:' .. labels, owner, weight)
      if not redis.call('ZSCORE', root .. ':owners:' .. labels, owner) then
        local known = redis.call('HMGET', root .. ':passes:' .. labels, owner, '')
        local pass = math.max(tonumber(known[1] or '0'), tonumber(known[2] or '0'))
        redis.call('ZADD', root .. ':owners:' .. labels, string.format('%.17g', pass), owner)
        redis.call('SADD', root .. ':label_sets', labels)
      end
    end
  end
end
for lane, entries in pairs(lanes) do redis.call('ZADD', lane, unpack(entries)) end

local rung = 0
for _, i in ipairs(entered) do rung = rung + ring(ARGV[i + 4], ARGV[i + 5]) end
return rung

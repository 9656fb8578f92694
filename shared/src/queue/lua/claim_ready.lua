-- Takes the next ready tasks that a worker may have: between owners by stride scheduling, within an owner by priority, then
-- age. A worker that gets none is entered as waiting in the same step, so that no task can slip in between.
--
-- Stride scheduling (C. Waldspurger, W. Weihl, "Stride Scheduling: Deterministic Proportional-Share Resource Management",
-- MIT/LCS/TM-528, 1995): an owner pays STRIDE / weight for each task, and the one that has paid least goes next. Each label
-- set has a clock of its own, the pass of the last claim, because its owners compete for workers of their own; a worker that
-- serves several sets compares how far ahead of its clock each owner is.
-- KEYS[1] root     every name below starts with it
-- ARGV[1] worker id
-- ARGV[2] the labels that it offers, with spaces between
-- ARGV[3] how many tasks it wants
-- Returns the task ids.
local root, worker, wanted = KEYS[1], ARGV[1], tonumber(ARGV[3])
local offered = ' ' .. ARGV[2] .. ' '
local excluded_key, waiting_key = root .. ':excluded', root .. ':waiting'
local STRIDE, MAX_SETS, MAX_OWNERS, MAX_LOOKS = 1000000, 512, 1024, 1024
local OWNERS = math.max(8, math.min(wanted, 64))

local function offers_all(labels)
  for label in string.gmatch(labels, '%S+') do
    if not string.find(offered, ' ' .. label .. ' ', 1, true) then return false end
  end
  return true
end

-- The label sets that are in use and that the worker satisfies. Where there are too many a random part of them is looked at,
-- so that each has its turn.
local sets = {}
local in_use = redis.call('SCARD', root .. ':label_sets') > MAX_SETS
  and redis.call('SRANDMEMBER', root .. ':label_sets', MAX_SETS) or redis.call('SMEMBERS', root .. ':label_sets')
for _, labels in ipairs(in_use) do
  if offers_all(labels) then sets[#sets + 1] = labels end
end
local has_exclusions = redis.call('EXISTS', excluded_key) == 1

-- A lane's tasks that the worker may have, read a page at a time.
local function new_lane(owner, labels)
  return { key = root .. ':lane:' .. owner .. ':' .. labels, owner = owner, labels = labels, ids = {}, scores = {},
           at = 1, read = 0, taken = {} }
end
local function fill(lane)
  while lane.at > #lane.ids and lane.read < MAX_LOOKS + wanted do
    local page = redis.call('ZRANGE', lane.key, lane.read, lane.read + math.min(wanted, 128) + 7, 'WITHSCORES')
    if #page == 0 then lane.read = MAX_LOOKS + wanted return end
    lane.read = lane.read + #page / 2
    local ids = {}
    for i = 1, #page, 2 do ids[#ids + 1] = page[i] end
    local exclusions = has_exclusions and redis.call('HMGET', excluded_key, unpack(ids)) or {}
    for i, id in ipairs(ids) do
      if not (exclusions[i] and string.find(exclusions[i], worker, 1, true)) then
        lane.ids[#lane.ids + 1] = id
        lane.scores[#lane.scores + 1] = tonumber(page[2 * i])
      end
    end
  end
end

-- The next owners of each set, OWNERS at a time, behind those that have nothing for this worker.
local from, clocks = {}, {}
local function load_owners()
  local owners, by_id = {}, {}
  for _, labels in ipairs(sets) do
    clocks[labels] = clocks[labels] or tonumber(redis.call('HGET', root .. ':passes:' .. labels, '') or '0')
    from[labels] = from[labels] or 0
    local page = from[labels] < MAX_OWNERS
      and redis.call('ZRANGE', root .. ':owners:' .. labels, from[labels], from[labels] + OWNERS - 1, 'WITHSCORES') or {}
    for i = 1, #page, 2 do
      local owner = by_id[page[i]]
      if not owner then
        owner = { id = page[i], lanes = {}, paid = false }
        owner.stride = STRIDE / tonumber(redis.call('HGET', root .. ':weights:' .. labels, owner.id) or '1')
        by_id[owner.id] = owner
        owners[#owners + 1] = owner
      end
      local lane = new_lane(owner.id, labels)
      -- One that could have nothing for long has not saved that up.
      lane.pass = math.max(tonumber(page[i + 1]), clocks[labels] - owner.stride)
      owner.lanes[#owner.lanes + 1] = lane
    end
  end
  return owners
end

-- How far an owner is ahead of others: by the lane that is least so.
local function ahead(owner)
  local least
  for _, lane in ipairs(owner.lanes) do
    local by = lane.pass - clocks[lane.labels]
    if not least or by < least then least = by end
  end
  return least
end

-- The lane of an owner whose first task comes first.
local function best_lane(owner)
  local best
  for _, lane in ipairs(owner.lanes) do
    fill(lane)
    local score = lane.scores[lane.at]
    if score and (not best or score < best.scores[best.at]) then best = lane end
  end
  return best
end

-- Makes an owner pay for a task, in every set in which it could have had it; ahead of a clock by one task at most.
local function pay(owner, served)
  owner.paid = true
  clocks[served.labels] = math.max(clocks[served.labels], served.pass)
  for _, lane in ipairs(owner.lanes) do
    lane.pass = math.min(lane.pass, clocks[lane.labels]) + owner.stride
  end
end

-- Writes down what was taken out of a lane, and takes the lane out of the books when it is empty.
local function settle(lane)
  for i = 1, #lane.taken, 1000 do
    local part = { unpack(lane.taken, i, math.min(i + 999, #lane.taken)) }
    redis.call('ZREM', lane.key, unpack(part))
    if has_exclusions then redis.call('HDEL', excluded_key, unpack(part)) end
  end
  local owners, passes = root .. ':owners:' .. lane.labels, root .. ':passes:' .. lane.labels
  local pass = string.format('%.17g', lane.pass)
  redis.call('HSET', passes, lane.owner, pass, '', string.format('%.17g', clocks[lane.labels]))
  if redis.call('EXISTS', lane.key) == 1 then
    redis.call('ZADD', owners, 'XX', pass, lane.owner)
    from[lane.labels] = from[lane.labels] + 1
    return
  end
  redis.call('ZREM', owners, lane.owner)
  if redis.call('EXISTS', owners) == 0 then
    redis.call('SREM', root .. ':label_sets', lane.labels)
    redis.call('DEL', passes, root .. ':weights:' .. lane.labels)
  end
end

local taken = {}
while #taken < wanted do
  local owners = load_owners()
  if #owners == 0 then break end
  local page = { unpack(owners) }
  while #taken < wanted and #owners > 0 do
    local place, least = 1, ahead(owners[1])
    for i = 2, #owners do
      local by = ahead(owners[i])
      if by < least then place, least = i, by end
    end
    local owner = owners[place]
    local lane = best_lane(owner)
    if lane then
      taken[#taken + 1] = lane.ids[lane.at]
      lane.taken[#lane.taken + 1] = lane.ids[lane.at]
      lane.at = lane.at + 1
      pay(owner, lane)
    else
      table.remove(owners, place)
    end
  end
  for _, owner in ipairs(page) do
    for _, lane in ipairs(owner.lanes) do
      if owner.paid then settle(lane) else from[lane.labels] = from[lane.labels] + 1 end
    end
  end
end

if #taken == 0 then
  local time = redis.call('TIME')
  redis.call('ZADD', waiting_key, 'NX', time[1] * 1000000 + time[2], worker)
  redis.call('HSET', root .. ':offers', worker, ARGV[2])
else
  redis.call('ZREM', waiting_key, worker)
end
return taken

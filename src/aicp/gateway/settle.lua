-- coordination.settle in Lua, for all rows of a round: see coordination.py, which says what each value means.
-- KEYS: the processes that are known, when this server began to know anything, then a row each.
-- ARGV: who asks, its sequence, how many processes have ended and their names, then nine values for each row.
local t = redis.call('TIME')
local clock = tonumber(t[1]) + tonumber(t[2]) / 1000000
local who, sequence, ends = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local ended, at = {}, 3
for i = 1, ends do
  ended[ARGV[3 + i]] = true
  redis.call('ZREM', KEYS[1], ARGV[3 + i])
end
at = at + ends
redis.call('ZADD', KEYS[1], clock, who)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', clock - 10)
redis.call('EXPIRE', KEYS[1], 3600)
redis.call('SET', KEYS[2], t[1] .. '.' .. t[2] .. who, 'NX')
local born = redis.call('GET', KEYS[2])
-- in its first second it grants nothing: all processes tell it of their last minute first
local young = clock - tonumber(string.match(born, '^%d+%.')) < 1
local silent = {[0] = 4, [1] = 30, [2] = 4}
local out = {redis.call('ZCARD', KEYS[1]), born}

local function sum(counts)
  local all = 0
  for _, n in pairs(counts) do all = all + n end
  return all
end

for k = 3, #KEYS do
  local kind, most, keep, used = tonumber(ARGV[at+1]), tonumber(ARGV[at+2]), tonumber(ARGV[at+3]), tonumber(ARGV[at+4])
  local need, least, extra = tonumber(ARGV[at+5]), tonumber(ARGV[at+6]), tonumber(ARGV[at+7])
  local firm, view = ARGV[at+8] == '1', tonumber(ARGV[at+9])
  at = at + 9
  local raw = redis.call('GET', KEYS[k])
  local row = raw and cmsgpack.unpack(raw) or {now = 0, total = 0, counts = {}, members = {}}
  -- the server's clock was set back: what counts, counts from now on
  if row.now > clock + 5 then
    local all = sum(row.counts)
    row.now, row.counts = clock, {}
    if all > 0 then row.counts[string.format('%d', math.floor(clock))] = all end
    for _, member in pairs(row.members) do member.seen, member.firm, member.since = clock, 0, 0 end
  end
  local now = math.max(clock, row.now)
  row.now = now
  local second = math.floor(now)
  local function count(n)
    local name = string.format('%d', second)
    row.counts[name] = (row.counts[name] or 0) + n
  end
  for name, _ in pairs(row.counts) do
    if tonumber(name) <= second - 61 then row.counts[name] = nil end
  end
  for name, member in pairs(row.members) do
    if ended[name] or now - member.seen > silent[kind] then
      row.members[name] = nil
      if kind == 0 and member.held > 0 then count(member.held) end
    end
  end
  local me = row.members[who]
  -- an ask that comes behind a later one changes nothing
  if me and sequence <= me.sequence then
    for _, value in ipairs({0, 0, 1, 1, 0, 0}) do table.insert(out, value) end
  else
    me = me or {held = 0, sequence = 0, seen = 0, firm = 0, since = 0}
    row.members[who] = me
    me.sequence, me.held, me.seen = sequence, keep, now
    if firm then me.firm = now end
    if kind == 2 then
      row.total = math.max(row.total + used, view)
    elseif used > 0 then
      count(used)
    end
    local gone = kind == 2 and row.total or sum(row.counts)
    local free, members, wanted = most - gone - me.held, 1, false
    for name, other in pairs(row.members) do
      if name ~= who then
        members = members + 1
        free = free - other.held
        wanted = wanted or (other.since > 0 and other.seen > now - 0.5)
      end
    end
    wanted = wanted or free < 0
    local granted = 0
    if young and kind < 2 then
      granted = 0
    elseif free >= need then
      granted = need
      if not wanted then granted = need + math.max(math.min(extra, math.floor((free - need) / (2 * members))), 0) end
    elseif least > 0 and least <= free then
      granted = free
    end
    local final = false
    -- final: it is used up, or all others have said lately that they can give nothing
    if granted >= need then
      me.since = 0
    else
      if me.since == 0 then me.since = now end
      local asked = math.max(me.since, now - 0.25)
      final = true
      for name, other in pairs(row.members) do
        if name ~= who and other.held > 0 and other.firm < asked then final = false end
      end
      final = final or gone + me.held + least > most
      final = final and not (young and kind < 2)
      if final then me.since = 0 end
    end
    me.held = me.held + granted
    local seconds, reset, passed, order = 1, 0, 0, {}
    for name, _ in pairs(row.counts) do table.insert(order, tonumber(name)) end
    table.sort(order)
    for _, one in ipairs(order) do
      passed = passed + row.counts[string.format('%d', one)]
      if passed >= least - free then
        seconds = math.max(one + 61 - second, 1)
        break
      end
    end
    if #order > 0 then reset = order[#order] + 61 - second end
    if me.held == 0 and me.since == 0 then row.members[who] = nil end
    local answer = {granted, math.max(free - granted, 0), seconds, reset, wanted and 1 or 0, final and 1 or 0}
    for _, value in ipairs(answer) do table.insert(out, value) end
  end
  redis.call('SET', KEYS[k], cmsgpack.pack(row), 'EX', kind == 2 and 3456000 or 300)
end
return out

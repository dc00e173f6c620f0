-- Takes from all quotas of a key, or from none.
--
-- KEYS[1] the key
-- ARGV    1 the least that is of use, 2 the most that is wanted; then for each quota: its field, nanoseconds for one unit, nanoseconds for its burst
-- Replies { 1 or 0, taken, wait, second, nanosecond, debt of each quota .. }: the wait is what is missing, in nanoseconds, where nothing was taken; the time is that of the decision.
--
-- GCRA: a quota is the moment at which its whole burst will be there again.
-- What lies between now and then is its debt, and to take n units adds the time in which n units come.
-- The moment is kept as seconds and nanoseconds, "1700000000.000000001": a number of Lua would round it, and is written with 14 digits unless told otherwise.
-- Only KEYS[1] is touched, so that a cluster knows where to send this.

-- The server's clock: those of the clients differ.
local time = redis.call('TIME')
local second, nano = tonumber(time[1]), time[2] * 1000
local least, given = tonumber(ARGV[1]), tonumber(ARGV[2])

local fields = {}
for at = 3, #ARGV, 3 do
  fields[#fields + 1] = ARGV[at]
end
local kept = redis.call('HMGET', KEYS[1], unpack(fields))

local debts, wait = {}, 0
for quota = 1, #fields do
  local unit, all = tonumber(ARGV[3 * quota + 1]), tonumber(ARGV[3 * quota + 2])
  local debt = 0
  if kept[quota] then
    local s, n = string.match(kept[quota], '^(%d+)%.(%d%d%d%d%d%d%d%d%d)$')
    if not s then
      return { -1 }
    end
    -- Never below zero, nor above the burst: a clock that was set back, or a smaller burst than before, must not refuse for longer than that.
    debt = math.min(math.max((s - second) * 1e9 + (n - nano), 0), all)
  end
  debts[quota] = debt
  given = math.min(given, math.floor((all - debt) / unit))
  wait = math.max(wait, least * unit - (all - debt))
end

local taken = given >= least
if not taken then
  given = 0
end
local longest = 0
if given > 0 then
  local write = {}
  for quota = 1, #fields do
    local debt = debts[quota] + given * tonumber(ARGV[3 * quota + 1])
    debts[quota] = debt
    longest = math.max(longest, debt)
    local n = nano + debt
    write[#write + 1] = fields[quota]
    write[#write + 1] = string.format('%.0f.%09.0f', second + math.floor(n / 1e9), n % 1e9)
  end
  redis.call('HSET', KEYS[1], unpack(write))
  -- When all is there again, there is nothing to remember; longer where another process knows a longer quota.
  local left = math.ceil(longest / 1e6)
  if redis.call('PTTL', KEYS[1]) < left then
    redis.call('PEXPIRE', KEYS[1], left)
  end
end
return { taken and 1 or 0, given, taken and 0 or wait, second, nano, unpack(debts) }

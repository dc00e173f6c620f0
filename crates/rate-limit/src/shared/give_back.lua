-- Gives back what was taken and not used.
--
-- KEYS[1] the key
-- ARGV    1 how much, 2 and 3 the second and the nanosecond at which it was taken; then for each quota: its field, nanoseconds for one unit, nanoseconds for its burst, and its debt then
-- Replies 1.
--
-- Each quota gets what that takes to come, as far as time has not given it already: never more than what was left of the debt then.
-- So whatever others have taken in between, nobody gets more than if this had never been taken.
-- Only KEYS[1] is touched, so that a cluster knows where to send this.

local time = redis.call('TIME')
local second, nano = tonumber(time[1]), time[2] * 1000
local since = math.max((second - ARGV[2]) * 1e9 + (nano - ARGV[3]), 0)

for at = 4, #ARGV, 4 do
  local kept = redis.call('HGET', KEYS[1], ARGV[at])
  local s, n = string.match(kept or '', '^(%d+)%.(%d%d%d%d%d%d%d%d%d)$')
  if s then
    local debt = math.min((s - second) * 1e9 + (n - nano), tonumber(ARGV[at + 2]))
    local back = math.min(ARGV[1] * ARGV[at + 1], ARGV[at + 3] - since)
    if debt > 0 and back >= debt then
      redis.call('HDEL', KEYS[1], ARGV[at])
    elseif debt > 0 and back > 0 then
      local full = nano + debt - back
      redis.call('HSET', KEYS[1], ARGV[at], string.format('%.0f.%09.0f', second + math.floor(full / 1e9), full % 1e9))
    end
  end
end
return 1

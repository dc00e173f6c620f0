-- Holds the lease for longer, also where it was over and nobody took it; 1 where it was still the run's, or the run has completed it.
--
-- KEYS[1] the record
-- ARGV    1 owner, 2 token, 3 hold in microseconds, 4 the same in milliseconds, rounded up

local record = redis.call('HMGET', KEYS[1], 's', 'o', 't')
if record[2] ~= ARGV[1] or record[3] ~= ARGV[2] then
  return 0
end
-- A renewal that meets the end of its own run: nothing is lost, and nothing is left to hold.
if record[1] == 'completed' then
  return 1
end
if record[1] ~= 'running' then
  return 0
end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'l', time[1] * 1000000 + time[2] + ARGV[3])
-- A record that is forgotten during its lease could be run twice.
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return 1

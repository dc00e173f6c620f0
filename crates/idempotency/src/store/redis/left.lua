-- What is left of the lease of the run that holds it, in microseconds; 0 where nobody runs, or the run is overdue.
--
-- KEYS[1] the record

local record = redis.call('HMGET', KEYS[1], 's', 'l')
local lease = tonumber(record[2])
if record[1] ~= 'running' or not lease then
  return 0
end
local time = redis.call('TIME')
return math.max(lease - (time[1] * 1000000 + time[2]), 0)

-- Ends the run without an answer, so that it is overdue; 1 where it was still the run's.
--
-- KEYS[1] the record
-- ARGV    1 owner, 2 token

local record = redis.call('HMGET', KEYS[1], 's', 'o', 't')
if record[2] ~= ARGV[1] or record[3] ~= ARGV[2] then
  return 0
end
-- The reply to the same step was lost.
if record[1] == 'given up' then
  return 1
end
if record[1] ~= 'running' then
  return 0
end
redis.call('HSET', KEYS[1], 's', 'given up')
return 1

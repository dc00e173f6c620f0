-- Ends the run with an answer; 1 where it was still the run's, or has ended with this very answer.
--
-- KEYS[1] the record
-- ARGV    1 owner, 2 token, 3 retention in milliseconds, 4 answer

local record = redis.call('HMGET', KEYS[1], 's', 'o', 't')
if record[2] ~= ARGV[1] or record[3] ~= ARGV[2] then
  return 0
end
-- The reply to the same step was lost; another answer is none, since others may have read the first.
if record[1] == 'completed' then
  return redis.call('HGET', KEYS[1], 'a') == ARGV[4] and 1 or 0
end
if record[1] ~= 'running' then
  return 0
end
redis.call('HSET', KEYS[1], 's', 'completed', 'a', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1

-- Forgets the record of a run that did nothing; 1 where it was still the run's.
--
-- KEYS[1] the record
-- ARGV    1 owner, 2 token

local record = redis.call('HMGET', KEYS[1], 's', 'o', 't', 'n')
if record[1] ~= 'running' or record[2] ~= ARGV[1] or record[3] ~= ARGV[2] then
  return 0
end
-- What the runs before a later one did, only the record tells.
if record[4] ~= '1' then
  redis.call('HSET', KEYS[1], 's', 'given up')
  return 1
end
redis.call('DEL', KEYS[1])
return 1

-- Forgets the record; 1 where it was still the run's.
--
-- KEYS[1] the record
-- ARGV    1 owner, 2 token

local record = redis.call('HMGET', KEYS[1], 's', 'o', 't')
if record[1] ~= 'running' or record[2] ~= ARGV[1] or record[3] ~= ARGV[2] then
  return 0
end
redis.call('DEL', KEYS[1])
return 1

-- Asks to run: the one place where a record begins, and where it changes hands.
--
-- KEYS[1] the record
-- ARGV    1 fingerprint, 2 owner, 3 lease in microseconds, 4 retention in milliseconds, 5 "1" to take over what is overdue
--
-- A record is a hash; it is not there before its first claim, nor after its retention, which Redis counts itself.
--   s state: running, given up, completed, unknown    f fingerprint    o owner
--   t token    n attempt    l end of the lease, in microseconds of this server's clock    a answer
-- Only KEYS[1] is touched, so that a cluster knows where to send this.

-- The server's clock: those of the clients differ, and a lease must mean the same to all of them.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- Without the answer, which may be large and is told only at the end.
local record = redis.call('HMGET', KEYS[1], 's', 'f', 'o', 't', 'n', 'l')
local state = record[1]
local token, attempt = 0, 0

if not state then
  -- A hash without a state is not ours: to write into it would make it look like ours.
  if redis.call('EXISTS', KEYS[1]) == 1 then
    return { 'corrupt' }
  end
else
  token, attempt = tonumber(record[4]), tonumber(record[5])
  local lease = tonumber(record[6])
  if not (token and attempt and lease and record[2] and record[3]) then
    return { 'corrupt' }
  end
  -- Before everything else, also while it runs: the client has to change its request, and may know so now.
  if record[2] ~= ARGV[1] then
    return { 'mismatch' }
  end
  if state == 'completed' then
    return { state, redis.call('PTTL', KEYS[1]), redis.call('HGET', KEYS[1], 'a') }
  end
  if state == 'unknown' then
    return { state, redis.call('PTTL', KEYS[1]), attempt }
  end
  if state == 'running' and lease > now then
    -- The same owner asks again because the reply to its first claim was lost.
    if record[3] == ARGV[2] then
      return { 'run', token, attempt }
    end
    return { 'running', lease - now }
  end
  if state ~= 'running' and state ~= 'given up' then
    return { 'corrupt' }
  end
  if ARGV[5] ~= '1' then
    -- The token grows, so that the run that is overdue cannot end the record any more.
    redis.call('HSET', KEYS[1], 's', 'unknown', 't', token + 1)
    redis.call('PEXPIRE', KEYS[1], ARGV[4])
    return { 'unknown', tonumber(ARGV[4]), attempt }
  end
end

token, attempt = token + 1, attempt + 1
redis.call('HSET', KEYS[1], 's', 'running', 'f', ARGV[1], 'o', ARGV[2], 't', token, 'n', attempt, 'l', now + ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return { 'run', token, attempt }

-- Says that a node is alive, and to the node itself that it is heard. KEYS: nodes. ARGV: node, its channel, for how long
-- others may be silent. Returns those who are silent for longer.
--
-- In the ZSET is when each node has beaten, and with no name, as a time that never comes, which history Redis has.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local limit = tonumber(ARGV[3])
local last = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or now)
local line = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x%x%x%x%x%x%x%x)') or '0'
line = string.format('%d', 1e15 + tonumber(line, 16))
if last > now or now - last > limit - 500 or redis.call('ZSCORE', KEYS[1], '') ~= line then
	-- The clock was set to another time, or Redis slept, or was restarted or failed over, and may have lost beats: how long the others
	-- were silent is not known, and is measured from now on.
	for _, node in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do redis.call('ZADD', KEYS[1], now, node) end
	redis.call('ZADD', KEYS[1], line, '')
end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PUBLISH', ARGV[2], 'b')
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. now - limit)

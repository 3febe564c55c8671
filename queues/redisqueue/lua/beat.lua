-- Says that a node is alive, and to the node itself that it is heard. KEYS: nodes. ARGV: node, its channel, for how long
-- others may be silent. Returns those who are silent for longer.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local limit = tonumber(ARGV[3])
local last = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or now)
if last > now or now - last > limit - 500 then
	-- The clock was set to another time, or Redis slept: how long the others were silent is not known, and is measured from now on.
	for _, node in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do redis.call('ZADD', KEYS[1], now, node) end
end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PUBLISH', ARGV[2], 'b')
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. now - limit)

-- Says that a node is alive, and to the node itself that it is heard. KEYS: nodes. ARGV: node, its channel, for how long
-- others may be silent. Returns those who are silent for longer.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PUBLISH', ARGV[2], 'b')
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. now - ARGV[3])

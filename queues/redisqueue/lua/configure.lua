-- Makes a queue or changes its configuration. ARGV: all of it, and its numbers without those that say what is paused.
local time = redis.call('TIME')
local old = redis.call('GET', KEYS[1] .. ':config')
redis.call('SET', KEYS[1] .. ':config', ARGV[2] .. (old and string.sub(old, -16) or struct.pack('>dd', 0, 0)))
redis.call('SET', KEYS[1] .. ':json', ARGV[1])
if redis.call('EXISTS', KEYS[1] .. ':state') == 0 then
	-- Fences begin where the clock is, so that a queue that is made anew doesn't issue old ones again.
	local clock = time[1] * 1000 + math.floor(time[2] / 1000) - 1700000000000
	local fence = clock * 2048
	-- So do the numbers of internal queues: inboxes, which may outlive the queue, go by them.
	local seq = string.find(KEYS[1], '{q:$', 1, true) and clock * 16 or 0
	-- And in which history, so that what is lost of the first hand-outs and numbers isn't issued again, either.
	local line = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or ''
	redis.call('SET', KEYS[1] .. ':state', struct.pack('>dd', seq, fence) .. string.rep(struct.pack('>d', 0), 27) .. line)
end
return 1

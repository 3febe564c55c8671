-- Puts entries at the end.
-- ARGV: lane, number of the call, limits (length, bytes, TTL, 1 to drop the oldest, devices), and of each entry its head (flags,
-- size, TTL, number in the topic, id, topic) and its body.
-- Returns the epoch, how many were dropped, and of each its number and 0 stored, 1 known, 2 not a member, 3 no room, 4 no such
-- inbox, and none is made for it, 5 too many, or 6 stored, and the inbox was made.
local lane = I .. ':done:' .. ARGV[1]
if ARGV[1] ~= '' then
	local v = call('GET', lane)
	local was = v and cmsgpack.unpack(v)
	if was and was[1] == ARGV[2] then return was[2] end
end
local maxLen, maxBytes, limitTTL, drop = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == '1'

local topics = {} -- what is known of memberships
local function member(topic)
	if topics[topic] == nil then topics[topic] = M.epoch and call('HGET', I .. ':topics', topic) or false end
	return topics[topic]
end

local window = math.floor(now / 300000)
local function known(id)
	return call('HGET', I .. ':ids' .. window, id) or call('HGET', I .. ':ids' .. window - 1, id)
		or call('HGET', I .. ':ids' .. window + 1, id) -- the clock was set back
end

local values, dropped = {}, 0
local function flush()
	if #values > 0 then call('RPUSH', I, unpack(values)) end
	values = {}
end

local function fits(size)
	return M.n < maxLen and M.bytes + size <= maxBytes and M.last + 1 - M.base < 1048576
end

-- room says whether an entry of a size fits, after dropping the oldest if that is what is done.
local function room(size)
	if fits(size) then return true end
	if not drop or size > maxBytes or maxLen < 1 then return false end
	flush()
	while not fits(size) do
		M.overflow = M.base
		M.dropped, dropped = M.dropped + 1, dropped + 1
		shift(1)
	end
	return true
end

local function append(draft, body)
	local flags, size, ttl, topicSeq, id, topic = struct.unpack('>BI4I6I7Bc0Bc0', draft)
	if topic ~= '' then
		local last = member(topic)
		if not last then return 2, 0 end
		if tonumber(last) >= topicSeq then return 1, 0 end
	end
	if id ~= '' then
		local seq = known(id)
		if seq then return 1, tonumber(seq) end
	end
	if flags % 2 == 1 then
		if not M.epoch then return 4, 0 end
		flags = flags - 1
	end
	local made = not M.epoch
	if not create(ARGV[7]) then return 5, 0 end
	if not room(size) then return 3, 0 end
	M.last = M.last + 1
	if topic ~= '' then
		topics[topic] = topicSeq
		call('HSET', I .. ':topics', topic, topicSeq)
	end
	if id ~= '' then
		call('HSET', I .. ':ids' .. window, id, M.last)
		call('PEXPIRE', I .. ':ids' .. window, 600000)
	end
	if ttl == 0 then ttl = limitTTL end
	local expires = ttl > 0 and now + ttl or 0
	if expires > 0 and (M.soonest == 0 or expires < M.soonest) then M.soonest = expires end
	values[#values + 1] = struct.pack(ENTRY, flags, now, expires, size) .. body
	M.n, M.bytes = M.n + 1, M.bytes + size
	if #values >= 500 then flush() end
	return made and 6 or 0, M.last
end

expire()
local last, results = M.last, {}
for i = 8, #ARGV, 2 do
	local n = #results
	results[n + 1], results[n + 2] = append(ARGV[i], ARGV[i + 1])
end
flush()
if M.epoch then
	M.used = now
	if M.last ~= last then
		for _, o in ipairs(M.owners) do
			if o.flags % 4 < TOLD then
				o.flags = o.flags + TOLD
				tell(o.node, 'a' .. name)
			end
		end
	end
	save()
end
local reply = { M.epoch or 0, dropped, results }
if ARGV[1] ~= '' then call('SET', lane, cmsgpack.pack({ ARGV[2], reply }), 'PX', 60000) end
return reply

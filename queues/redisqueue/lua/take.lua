-- Handing out. A claim is ARGV from i on: node, 1 if it waits, bytes (0: no limit), the number of wants, and for each of
-- them session, grace, messages, bytes (0: no limit), 1 if it settles at once.

-- line sees to it that no fence is issued twice: it grows with the clock as well as by hand-outs, and leaps when
-- Redis has another history than the one in which the last fence was issued, after a restart or a failover. So
-- does the number of the last message.
local lined = false
local function line()
	if lined then return end
	lined = true
	local id = string.match(call('INFO', 'replication'), 'master_replid:(%x+)') or ''
	if id == S.line then return end
	if S.line ~= '' then S.seq = S.seq + 1048576 end
	S.line = id
	S.fence = math.max(S.fence, (now - 1700000000000) * 2048) + 1048576 -- the later history leaps further
end

-- pop takes up to n numbers of the highest priority off the ready ones.
local function pop(n)
	for p = 3, 0, -1 do
		if R[p] > 0 then
			local ids = call('LPOP', Q .. ':ready' .. p, n)
			if ids then return ids, p end
			R[p] = 0
		end
	end
	return nil
end

-- serve hands out what a want can have, at most so many and until so many bytes are reached, and appends it to reply:
-- number, fence and record, and if it isn't the first hand-out to retried: which of the messages it is, attempt and
-- failures. It returns how many, whether that is all that it may have, and their bytes.
local function serve(w, node, allowed, most, reply, retried, given)
	if w.bytes > 0 then most = math.min(most, w.bytes) end
	local got, bytes = 0, 0
	local holder = struct.pack('>Hc0Hc0', #node, node, #w.session, w.session)
	local function full() return got >= w.messages or bytes >= most end
	local size = S.bytes / math.max(ready() + S.blocked, 1) -- of a message, rather too much
	while allowed > got and not full() do
		local fit = math.max(math.min((most - bytes) / math.max(size, 1), 256), 16)
		local ids, p = pop(math.min(w.messages - got, allowed - got, math.ceil(fit)))
		if not ids then break end
		local records = call('HMGET', Q .. ':messages', unpack(ids))
		local tried = S.tried > 0 and call('HMGET', Q .. ':tries', unpack(ids)) or {}
		local leases, kept, held = {}, {}, {}
		local rest
		for i, id in ipairs(ids) do
			if full() then
				rest = i
				break
			end
			local v = records[i]
			if not v then
				S.holes = S.holes - 1
			else
				R[p] = R[p] - 1
				local flags, _, size, expires, _, key = head(v)
				if tried[i] then S.tried = S.tried - 1 end
				if expires > 0 and expires <= now then
					local e = load(id)
					expire(e)
				else
					local attempt, failures, text = 1, 0, ''
					if tried[i] then
						local _, _, _, a, f, _, _, _, _, _, at = struct.unpack(TRIES, tried[i])
						attempt, failures, text = a + 1, f, string.sub(tried[i], at)
						S.redelivered = S.redelivered + 1
					end
					S.fence = S.fence + 1
					S.delivered = S.delivered + 1
					if C.rate > 0 then S.allowed = S.allowed + 1000 / C.rate end
					got, bytes = got + 1, bytes + size
					local n = #reply
					reply[n + 1], reply[n + 2], reply[n + 3] = id, S.fence, v
					if attempt > 1 then
						local r = #retried
						retried[r + 1], retried[r + 2], retried[r + 3] = n / 3, attempt, failures
					end
					if w.once then
						S.acked = S.acked + 1
						erase({ id = id, tried = tried[i], expires = expires, size = size, key = key })
					else
						leases[#leases + 1] = now + C.lease
						leases[#leases + 1] = id
						kept[#kept + 1] = id
						kept[#kept + 1] = struct.pack('>BBI7I4I4I4I6Bc0', LEASED, flags, S.fence, attempt, failures, size, w.grace, #key, key)
							.. holder .. text
						held[#held + 1] = id
						given[#given + 1] = id
						given[#given + 1] = S.fence
					end
				end
			end
		end
		if #held > 0 then
			zadd(':leased', leases)
			hset(':tries', kept)
			if w.session ~= '' then call('SADD', Q .. ':session:' .. w.session, unpack(held)) end
			soon(now + C.lease)
		end
		if rest then
			local back = {}
			for i = #ids, rest, -1 do back[#back + 1] = ids[i] end
			call('LPUSH', Q .. ':ready' .. p, unpack(back))
			break
		end
	end
	return got, full(), bytes
end

-- coming is in how many milliseconds a claim may get more, or -1 for when it is told.
local function coming(allowed)
	if C.consumePaused == 1 then return -1 end
	if allowed <= 0 and ready() > 0 then
		return math.max(1, math.ceil(S.allowed - (C.burst - 1) * 1000 / C.rate - now))
	end
	if S.due == 0 then return -1 end
	local a, b = first(':leased'), first(':scheduled') -- not what expires, of which S.due knows, too
	local at = math.min(a or math.huge, b or math.huge)
	if at == math.huge then return -1 end
	return math.max(0, at - now)
end

-- claim returns the answer to a claim: the lease, when to come again, how much each want got, and what; and, to answer
-- the same again, the counts and what was given.
local function claim(i)
	local node, waits, left, wants = ARGV[i], ARGV[i + 1] == '1', tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
	if left == 0 then left = math.huge end
	i = i + 4
	local messages, retried, counts, given = {}, {}, {}, {}
	local allowed, short = allowance(), 0
	local any = C.consumePaused ~= 1 and ready() > 0 and allowed > 0
	if any then line() end
	for w = 1, wants do
		local want = { session = ARGV[i], grace = tonumber(ARGV[i + 1]), messages = tonumber(ARGV[i + 2]),
			bytes = tonumber(ARGV[i + 3]), once = ARGV[i + 4] == '1' }
		i = i + 5
		local got, full, bytes = 0, want.messages <= 0 or left <= 0, 0
		if any and not full then
			got, full, bytes = serve(want, node, allowed, left, messages, retried, given)
			allowed, left = allowed - got, left - bytes
		end
		if not full then short = short + want.messages - got end
		counts[w] = got
	end
	local next = -1
	if short > 0 then next = coming(allowed) end
	if short > 0 and waits then
		S.waiting = S.waiting + call('HSET', Q .. ':waiters', node, short)
	elseif S.waiting > 0 then
		S.waiting = S.waiting - call('HDEL', Q .. ':waiters', node)
	end
	return { C.lease, next, counts, messages, retried }, { C.lease, next, counts, given }
end

-- reclaim returns the answer to a claim that was done before, with what of it is still as it was.
local function reclaim(was)
	local messages, retried, n, counts = {}, {}, 0, {}
	for w, count in ipairs(was[3]) do
		counts[w] = 0
		for _ = 1, count do
			local id, fence = was[4][n + 1], was[4][n + 2]
			n = n + 2
			local e = id and load(id)
			if e and e.state == LEASED and e.fence == fence then
				local m, r = #messages, #retried
				messages[m + 1], messages[m + 2], messages[m + 3] = e.id, e.fence, e.record
				retried[r + 1], retried[r + 2], retried[r + 3] = m / 3, e.attempt, e.failures
				counts[w] = counts[w] + 1
			end
		end
	end
	return { was[1], was[2], counts, messages, retried }
end

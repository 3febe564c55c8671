-- Handing out. A claim is ARGV from i on: node, 1 if it waits, bytes (0: no limit), the number of wants, and for each of
-- them session, grace, messages, bytes (0: no limit), 1 if it settles at once.

-- line sees to it that no fence is issued twice: it grows with the clock as well as by hand-outs, and leaps when
-- Redis has another history than the one in which the last fence was issued, after a restart or a failover. So
-- does the number of the last message, and in internal queues, by whose numbers inboxes go, it grows with the clock, too. How far
-- it leaps depends on the history's id, since the power may fail again before anything of it is on disk, and the clock be set back.
local function line()
	if lined then return end
	lined = true
	local id = string.match(call('INFO', 'replication'), 'master_replid:(%x+)') or ''
	if id == S.line then return end
	local clock, own = now - 1700000000000, tonumber(string.sub(id, 1, 7), 16) or 0
	if string.find(Q, '{q:$', 1, true) then
		S.seq = math.max(S.seq, clock * 16) + 1048576
	elseif S.line ~= '' then
		S.seq = S.seq + 1048576 + own
	end
	S.line = id
	S.fence = math.max(S.fence, clock * 2048) + 1048576 + own % 65536 -- the later history leaps further; by up to 32 ms of the clock
end

-- What this call has stored and no list has yet, by priority: it is behind all that the lists have. first is the first that is
-- still there. If the numbers are without gaps, before is the number before that of the first of all.
local function fresh(p)
	local n = new[p]
	if not n then
		n = { ids = {}, records = {}, first = 1, before = false }
		new[p] = n
	end
	return n
end

-- enlist puts what is left of it into the lists.
local function enlist()
	for p, n in pairs(new) do
		if n.first <= #n.ids then call('RPUSH', Q .. ':ready' .. p, unpack(n.ids, n.first)) end
	end
	new = {}
end

-- pop takes up to so many numbers of the highest priority off the lists; or else it returns what is new, which stays where it is.
local function pop(most)
	for p = 3, 0, -1 do
		local n = new[p]
		local left = n and #n.ids - n.first + 1 or 0
		if R[p] > left then
			local ids = call('LPOP', Q .. ':ready' .. p, most)
			if ids then return p, ids, 1, #ids end
			R[p] = left
		end
		if left > 0 then return p, n.ids, n.first, n.first + math.min(most, left) - 1, n end
	end
	return nil
end

local leases, kept = {}, {} -- what is to be written, as tables that have grown once: what is beyond k is of calls before

-- serve hands out what a want can have, at most so many and until so many bytes are reached, and appends records to messages, but
-- not those of what is new, and if it isn't the first hand-out to retried: which message of the call it is, fence, attempt and
-- failures. It returns how many, whether that is all that it may have, their bytes, and their numbers with spaces between them;
-- 7+3 are 7, 8 and 9, and they are new.
local function serve(w, node, allowed, most, messages, retried)
	if w.bytes > 0 then most = math.min(most, w.bytes) end
	local got, bytes, numbers = 0, 0, {}
	local function full() return got >= w.messages or bytes >= most end
	local size = S.bytes / math.max(ready() + S.blocked, 1) -- of a message, rather too much
	local ends = string.format('%d', now + C.lease)
	-- What tries have, from the state on, of a message without a key that is handed out for the first time.
	local untried = struct.pack('>BI4I4I6Hc0Hc0B', LEASED, 1, 0, w.grace, #node, node, #w.session, w.session, 0)
	local pack, unfold = struct.pack, struct.unpack
	while allowed > got and not full() do
		local fit = math.max(math.min((most - bytes) / math.max(size, 1), 256), 16)
		local p, ids, from, to, own = pop(math.min(w.messages - got, allowed - got, math.ceil(fit)))
		if not p then break end
		local records = own and own.records or call('HMGET', Q .. ':messages', unpack(ids))
		local tried = not own and S.tried > 0 and call('HMGET', Q .. ':tries', unpack(ids)) or {}
		local k, rest = 0, to + 1
		local run, since -- of what is new: the first number, and how many had been handed out before
		local function stop()
			if run then numbers[#numbers + 1] = string.format('%d+%d', run, handed - since) end
			run = nil
		end
		for i = from, to do
			if got >= w.messages or bytes >= most then
				rest = i
				break
			end
			local id, v, before = ids[i], records[i], tried[i]
			local what
			if not v then
				S.holes = S.holes - 1
			else
				R[p] = R[p] - 1
				if before then S.tried = S.tried - 1 end
				local flags, bulk = unfold('>BI4', v, 7)
				if not before and flags % (2 * KEY) < TTL and not w.once then
					S.fence = S.fence + 1
					what = pack('>BI4I7c0', flags, bulk, S.fence, untried)
				else
					local e = message(id, v, before)
					if e.expires > 0 and e.expires <= now then
						expire(e)
						bulk = nil
					else
						S.fence = S.fence + 1
						e.state, e.fence, e.attempt, e.grace = LEASED, S.fence, e.attempt + 1, w.grace
						e.node, e.session = node, w.session
						if before then S.redelivered = S.redelivered + 1 end
						if e.attempt > 1 then
							local r = #retried
							retried[r + 1], retried[r + 2], retried[r + 3], retried[r + 4] = handed, e.fence, e.attempt, e.failures
						end
						if w.once then
							S.acked = S.acked + 1
							erase(e)
						else
							what = tries(e)
						end
					end
				end
				if bulk then
					if not own then
						numbers[#numbers + 1], messages[#messages + 1] = id, v
					else
						local number = own.before and own.before + i or tonumber(id)
						if not run or number ~= run + handed - since then
							stop()
							run, since = number, handed
						end
					end
					handed, got, bytes = handed + 1, got + 1, bytes + bulk
				end
				if what then
					leases[k + 1], leases[k + 2], kept[k + 1], kept[k + 2] = ends, id, id, what
					k = k + 2
				end
			end
		end
		stop()
		if k > 0 then
			zadd(':leased', leases, k)
			hset(':tries', kept, k)
			if w.session ~= '' then
				local held = {}
				for i = 1, k, 2 do held[#held + 1] = kept[i] end
				call('SADD', Q .. ':session:' .. w.session, unpack(held))
			end
			soon(now + C.lease)
		end
		if own then
			own.first = rest
		elseif rest <= to then
			local back = {}
			for i = to, rest, -1 do back[#back + 1] = ids[i] end
			call('LPUSH', Q .. ':ready' .. p, unpack(back))
		end
		if rest <= to then break end
	end
	S.delivered = S.delivered + got
	if C.rate > 0 then S.allowed = S.allowed + got * 1000 / C.rate end
	return got, full(), bytes, table.concat(numbers, ' ')
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

-- claim returns the answer to a claim: the lease, when to come again, what time it is, the first's fence, each one's being one more, the numbers
-- for each want, the records, and which of them were handed out before; and, to answer the same again, the fence and the numbers of what
-- is leased.
local function claim(i)
	local node, waits, left, wants = ARGV[i], ARGV[i + 1] == '1', tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
	if left == 0 then left = math.huge end
	i = i + 4
	local numbers, messages, retried, given = {}, {}, {}, {}
	local allowed, short = allowance(), 0
	local any = C.consumePaused ~= 1 and ready() > 0 and allowed > 0
	if any then line() end
	local fence = S.fence + 1
	for w = 1, wants do
		local want = { session = ARGV[i], grace = tonumber(ARGV[i + 1]), messages = tonumber(ARGV[i + 2]),
			bytes = tonumber(ARGV[i + 3]), once = ARGV[i + 4] == '1' }
		i = i + 5
		local got, full, bytes = 0, want.messages <= 0 or left <= 0, 0
		local before = S.fence
		numbers[w] = ''
		if any and not full then
			got, full, bytes, numbers[w] = serve(want, node, allowed, left, messages, retried)
			allowed, left = allowed - got, left - bytes
		end
		given[w] = { before + 1, want.once and '' or numbers[w] }
		if not full then short = short + want.messages - got end
	end
	local next = -1
	if short > 0 then next = coming(allowed) end
	if short > 0 and waits then
		S.waiting = S.waiting + call('HSET', Q .. ':waiters', node, short)
	elseif S.waiting > 0 then
		S.waiting = S.waiting - call('HDEL', Q .. ':waiters', node)
	end
	return { C.lease, next, now, fence, numbers, messages, retried }, { C.lease, next, given }
end

-- reclaim returns the answer to a claim that was done before, with what of it is still as it was, and none of it new.
local function reclaim(was)
	local numbers, messages, retried = {}, {}, {}
	for w, given in ipairs(was[3]) do
		local fence, own = given[1], {}
		for from, n in string.gmatch(given[2], '(%d+)%+?(%d*)') do
			for i = 0, (tonumber(n) or 1) - 1 do
				local e = load(n == '' and from or string.format('%d', from + i))
				if e and e.state == LEASED and e.fence == fence then
					local m, r = #messages, #retried
					own[#own + 1], messages[m + 1] = e.id, e.record
					retried[r + 1], retried[r + 2], retried[r + 3], retried[r + 4] = m, e.fence, e.attempt, e.failures
				end
				fence = fence + 1
			end
		end
		numbers[w] = table.concat(own, ' ')
	end
	return { was[1], was[2], now, 0, numbers, messages, retried }
end

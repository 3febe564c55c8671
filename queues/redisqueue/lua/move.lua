-- How messages move. A message at hand, e, has the fields of its record and of its tries.

-- soon says that something is to be done at a time: S.due is not later than the first such time.
local function soon(at)
	if S.due == 0 or at < S.due then S.due = at end
end

-- message reads a message from its record and its tries, if it has any.
local function message(id, v, k)
	local e = { id = id, record = v }
	e.flags, e.stored, e.size, e.expires, e.ttl, e.key, e.body = head(v)
	if k then
		e.tried = true
		local _, at
		_, _, e.fence, e.state, e.attempt, e.failures, e.grace, e.node, e.session, _, at = struct.unpack(TRIES, k)
		e.text = string.sub(k, at)
	else
		e.state, e.fence, e.attempt, e.failures, e.grace = WAITING, 0, 0, 0, 0
		e.node, e.session, e.text = '', '', ''
	end
	return e
end

local function load(id)
	local v = call('HGET', Q .. ':messages', id)
	return v and message(id, v, call('HGET', Q .. ':tries', id)) or nil
end

-- push makes a message ready.
local function push(id, flags, first)
	local p = flags % 4
	call(first and 'LPUSH' or 'RPUSH', Q .. ':ready' .. p, id)
	R[p] = R[p] + 1
end

-- free lets the next message of a key be ready.
local function free(id, key)
	if key == '' or call('HGET', Q .. ':keys', key) ~= id then return end
	local line = Q .. ':key:' .. key
	local after = call('LPOP', line)
	while after do
		local v = call('HGET', Q .. ':messages', after)
		if v then
			call('HSET', Q .. ':keys', key, after)
			S.blocked = S.blocked - 1
			return push(after, string.byte(v, 7), false)
		end
		S.holes = S.holes - 1
		after = call('LPOP', line)
	end
	call('HDEL', Q .. ':keys', key)
end

-- unlist takes a number out of a list. One in the middle of a long list is left there as a hole, a number
-- without a message; those that were tried are near the head.
local function unlist(list, id, near)
	if near or call('LLEN', list) <= 128 then
		call('LREM', list, 1, id)
	elseif call('LINDEX', list, 0) == id then
		call('LPOP', list)
	else
		S.holes = S.holes + 1
	end
end

-- take takes e away from where it is. It still has its key.
local function take(e)
	if e.state ~= WAITING then
		call('ZREM', Q .. ':leased', e.id)
		if e.session ~= '' then call('SREM', Q .. ':session:' .. e.session, e.id) end
		e.node, e.session, e.grace = '', '', 0
		return
	end
	if e.tried then S.tried = S.tried - 1 end
	if call('ZREM', Q .. ':scheduled', e.id) == 1 then return end
	if e.key ~= '' and call('HGET', Q .. ':keys', e.key) ~= e.id then
		unlist(Q .. ':key:' .. e.key, e.id, e.tried)
		S.blocked = S.blocked - 1
	else
		local p = e.flags % 4
		unlist(Q .. ':ready' .. p, e.id, e.tried)
		R[p] = R[p] - 1
	end
end

-- erase ends e, which is nowhere any more.
local function erase(e)
	call('HDEL', Q .. ':messages', e.id)
	if e.tried then call('HDEL', Q .. ':tries', e.id) end
	if e.expires > 0 then call('ZREM', Q .. ':expiry', e.id) end
	S.bytes = S.bytes - e.size
	free(e.id, e.key)
end

-- bin deletes the oldest dead letter.
local function bin()
	local first = call('ZPOPMIN', Q .. ':dead')
	call('HDEL', Q .. ':letters', first[1])
end

-- bury makes e, which is nowhere any more, a dead letter.
local function bury(e, reason, text)
	if text == '' then text = e.text end
	erase(e)
	S.buried = S.buried + 1
	call('HSET', Q .. ':letters', e.id, struct.pack('>I6I4I4Bc0Hc0',
		now, e.attempt, e.failures, #reason, reason, #text, text) .. e.record)
	call('ZADD', Q .. ':dead', S.buried, e.id)
	for _ = C.deadMax + 1, call('ZCARD', Q .. ':dead') do bin() end
	soon(now + C.deadTTL)
end

-- expire ends e, which is nowhere any more, since its TTL is over.
local function expire(e)
	S.expired = S.expired + 1
	if C.deadExpired == 1 then return bury(e, 'expired', '') end
	erase(e)
end

-- put lets e, which was tried and is nowhere now, be ready or blocked, before all others.
local function put(e)
	if e.key ~= '' then
		local active = call('HGET', Q .. ':keys', e.key)
		if active and active ~= e.id then
			call('LPUSH', Q .. ':key:' .. e.key, e.id)
			S.blocked = S.blocked + 1
			return
		end
		if not active then call('HSET', Q .. ':keys', e.key, e.id) end
	end
	push(e.id, e.flags, true)
end

-- ends ends e, which was leased, if it was tried often enough or is too old.
local function ends(e, text)
	if e.failures >= C.maxFailures then
		bury(e, 'failures', text)
	elseif e.attempt >= C.maxAttempts then
		bury(e, 'attempts', text)
	elseif e.expires > 0 and e.expires <= now then
		expire(e)
	else
		return false
	end
	return true
end

-- wait keeps of e, which was leased, what happened.
local function wait(e)
	e.state = WAITING
	S.tried = S.tried + 1
	call('HSET', Q .. ':tries', e.id, tries(e))
end

-- release gives back e, which is leased.
local function release(e)
	take(e)
	if ends(e, '') then return end
	wait(e)
	put(e)
end

-- backoff is how long e waits for its next attempt: it doubles, and is spread by 20 %.
local function backoff(e)
	local d, i = C.backoffBase, 1
	while i < e.failures and d > 0 and d < C.backoffMax do
		d, i = d * 2, i + 1
	end
	d = math.min(d, C.backoffMax)
	return math.floor(d * (0.8 + math.random() * 0.4))
end

-- fail counts a failure of e, which is leased. delay: nil for the queue's.
local function fail(e, delay, text)
	take(e)
	e.failures = e.failures + 1
	if ends(e, text) then return end
	e.text = text
	wait(e)
	delay = delay or backoff(e)
	if delay <= 0 then return put(e) end
	if C.skip == 1 then free(e.id, e.key) end
	call('ZADD', Q .. ':scheduled', now + delay, e.id)
	soon(now + delay)
end

-- park keeps e, which is leased, for its session.
local function park(e, grace)
	e.state = PARKED
	call('HSET', Q .. ':tries', e.id, tries(e))
	call('ZADD', Q .. ':leased', now + grace, e.id)
	soon(now + grace)
end

-- overdue returns the numbers in a ZSET whose time has come, in order of time and number.
local function overdue(zset, limit)
	local list = call('ZRANGEBYSCORE', Q .. zset, '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit)
	local ids, times = {}, {}
	for i = 1, #list, 2 do
		ids[#ids + 1] = list[i]
		times[list[i]] = tonumber(list[i + 1])
	end
	table.sort(ids, function(a, b)
		if times[a] ~= times[b] then return times[a] < times[b] end
		return tonumber(a) < tonumber(b)
	end)
	return ids
end

-- first returns the lowest score in a ZSET, or nil.
local function first(zset)
	local list = call('ZRANGE', Q .. zset, 0, 0, 'WITHSCORES')
	return list[2] and tonumber(list[2])
end

-- died returns when the oldest dead letter died, or nil.
local function died()
	local oldest = call('ZRANGE', Q .. ':dead', 0, 0)[1]
	local v = oldest and call('HGET', Q .. ':letters', oldest)
	if oldest and not v then -- can't be, but must not stay
		call('ZREM', Q .. ':dead', oldest)
		return died()
	end
	return v and struct.unpack('>I6', v)
end

-- refresh sets S.due to what is due first.
local function refresh()
	S.due = 0
	for _, zset in ipairs({ ':leased', ':scheduled', ':expiry' }) do
		local at = first(zset)
		if at then soon(at) end
	end
	local at = died()
	if at then soon(at + C.deadTTL) end
end

-- due moves messages whose time has come, as many as a call can afford, and says whether those were all.
local function due()
	if S.due == 0 or now < S.due then return true end
	math.randomseed(time[2])
	local left, bytes = 256, 0
	local function one(id)
		left = left - 1
		local e = load(id)
		if e then bytes = bytes + #e.record end
		if bytes > 1000000 then left = 0 end
		return e
	end
	local function lost(zset, id) call('ZREM', Q .. zset, id) end -- a number without a message

	local ids = overdue(':leased', left)
	for i = #ids, 1, -1 do -- each goes to the head: the first of them will be first
		local e = one(ids[i])
		if not e then
			lost(':leased', ids[i])
		elseif e.state == PARKED then
			S.released = S.released + 1
			release(e)
		else
			S.lapsed = S.lapsed + 1
			fail(e, nil, '')
		end
		if left <= 0 then break end
	end

	local again = {}
	if left > 0 then ids = overdue(':scheduled', left) else ids = {} end
	for _, id in ipairs(ids) do
		local e = one(id)
		call('ZREM', Q .. ':scheduled', id)
		if e and e.tried then
			again[#again + 1] = e
		elseif e then
			push(id, e.flags, false)
		end
		if left <= 0 then break end
	end
	for i = #again, 1, -1 do
		local e = again[i]
		if e.expires > 0 and e.expires <= now then
			S.tried = S.tried - 1
			expire(e)
		else
			put(e)
		end
	end

	if left > 0 then ids = overdue(':expiry', left) else ids = {} end
	for _, id in ipairs(ids) do
		local e = one(id)
		if not e or e.state ~= WAITING then
			lost(':expiry', id) -- a leased one is looked at when its lease ends
		else
			take(e)
			expire(e)
		end
		if left <= 0 then break end
	end

	local at = left > 0 and died()
	while at and at + C.deadTTL <= now and left > 0 do
		bin()
		left = left - 1
		at = died()
	end
	if left > 0 then
		refresh()
		return true
	end
	S.due = now
	return false
end

-- turn moves on to the window of ids that now is in.
local function turn()
	if C.dedupe <= 0 then return end
	if S.idStart == 0 or S.idStart > now then -- or the clock was set back
		S.idStart = now
		return
	end
	while now >= S.idStart + C.dedupe and S.idBytes0 + S.idBytes1 > 0 do
		S.idTurn = 1 - S.idTurn
		call('UNLINK', Q .. ':ids' .. S.idTurn)
		S['idBytes' .. S.idTurn] = 0
		S.idStart = S.idStart + C.dedupe
	end
	if now >= S.idStart + C.dedupe then S.idStart = now end
end

-- room says whether n messages have room, whose payloads are size bytes together.
local function room(size, n)
	if not S.out then -- scheduled and leased
		S.out = call('ZCARD', Q .. ':scheduled') + call('ZCARD', Q .. ':leased')
	end
	return ready() + S.blocked + S.out + n <= C.maxLen and S.bytes + size <= C.maxBytes and S.holes <= C.maxLen + 1000
end

-- make says whether there is room for a message of a size, after dropping others if the queue drops, and how many were dropped.
-- flush is called before that.
local function make(size, flush)
	local function fits() return room(size, 1) end
	if fits() then return true, 0 end
	if C.drop ~= 1 or size > C.maxBytes then return false, 0 end
	flush()
	local n = 0
	for p = 0, 3 do
		while R[p] > 0 and not fits() do
			local id = call('LPOP', Q .. ':ready' .. p)
			if not id then
				R[p] = 0
				break
			end
			local e = load(id)
			if e then
				R[p] = R[p] - 1
				if e.tried then S.tried = S.tried - 1 end
				erase(e)
				S.dropped, n = S.dropped + 1, n + 1
			else
				S.holes = S.holes - 1
			end
		end
	end
	return fits(), n
end

-- allowance is how many messages the consume rate lets go now.
local function allowance()
	if C.rate <= 0 then return math.huge end
	local interval = 1000 / C.rate
	S.allowed = math.min(math.max(S.allowed, now), now + C.burst * interval) -- it is further only if the clock was set back
	return math.floor((now + C.burst * interval - S.allowed) / interval + 1e-6)
end

-- wake tells as many waiting nodes as there are messages for, and returns how many nodes that were.
local function wake()
	if S.waiting <= 0 or C.consumePaused == 1 then return 0 end
	local n = math.min(ready(), allowance())
	if n <= 0 then return 0 end
	local prefix, name = string.match(Q, '^(.*){q:(.*)}$')
	local waiters = call('HGETALL', Q .. ':waiters')
	if #waiters == 0 then S.waiting = 0 return 0 end
	local told = 0
	local from = 2 * (time[2] % (#waiters / 2)) -- another one each time
	for i = 0, #waiters - 2, 2 do
		if n <= 0 then break end
		local j = (from + i) % #waiters
		n = n - tonumber(waiters[j + 2])
		call('HDEL', Q .. ':waiters', waiters[j + 1])
		S.waiting = S.waiting - 1
		call('PUBLISH', prefix .. 'node:' .. waiters[j + 1], 'r' .. name)
		told = told + 1
	end
	return told
end

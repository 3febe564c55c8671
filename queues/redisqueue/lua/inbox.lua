-- An inbox, for every function about one: its state M. The key is a LIST whose first element is the state and whose others
-- are the entries, numbered without gaps up to M.last; what was lost in between is ''. One key of few bytes, since most
-- inboxes have few entries. Beside it there may be
--   :topics   HASH topic -> number of its last entry here    :ids<n>   HASH id -> number, of five minutes
--   :done:<l> what the last call of a lane answered
-- The principal's own inbox, which is in the same slot as those of its devices, has :devices, a SET of these.
local call, I, time, now, there, off, prefix, name, device, devices

-- The state: as few bytes as may be. Losses follow if there are any, and then the owners.
local STATE, LOSSES, OWNER = '>I7I6I4I5I6I6I6I4B', '>I6I6I5I5', '>BHc0Hc0'
local M

-- begin begins a call.
local function begin(keys)
	call, I = redis.call, keys[1]
	time = call('TIME')
	now = time[1] * 1000 + math.floor(time[2] / 1000)
	prefix, name, device = string.match(I, '^(.*){i:([^}]*)}{?([^}]*)}?$')
	devices = prefix .. '{i:' .. name .. '}:devices'
	if device ~= '' then name = name .. '/' .. device end

	M = { base = 1, n = 0, bytes = 0, acked = 0, last = 0, soonest = 0, used = now,
		overflow = 0, expired = 0, dropped = 0, lost = 0, owners = {} }
	there = call('LINDEX', I, 0)
	off = not there -- the first element isn't in the list
	if not there then return nil end
	local at, losses
	M.epoch, M.last, M.n, M.bytes, M.acked, M.soonest, M.used, M.line, losses, at = struct.unpack(STATE, there)
	if losses == 1 then M.overflow, M.expired, M.dropped, M.lost, at = struct.unpack(LOSSES, there, at) end
	M.base = M.last + 2 - call('LLEN', I)
	while at <= #there do
		local o = {}
		o.flags, o.number, o.node, at = struct.unpack(OWNER, there, at)
		M.owners[#M.owners + 1] = o
	end
end

-- Flags of owners.
local MIRROR, TOLD, STALE = 1, 2, 4

local function line() -- which history Redis has
	return tonumber(string.match(call('INFO', 'replication'), 'master_replid:(%x%x%x%x%x%x%x%x)') or '0', 16)
end

-- create makes the inbox, if there is none and the principal has less than so many for devices; negative: none is made.
-- It says whether there is one.
local function create(most)
	if M.epoch then return true end
	most = tonumber(most)
	if most < 0 then return false end
	if device ~= '' then
		if call('SCARD', devices) >= most then return false end
		call('SADD', devices, device)
	end
	M.epoch = time[1] * 1000000 + time[2]
	M.line = line()
	return true
end

local function save()
	local losses = M.dropped + M.lost > 0 and 1 or 0
	local v = struct.pack(STATE, M.epoch, M.last, M.n, M.bytes, M.acked, M.soonest, M.used, M.line, losses)
	if losses == 1 then v = v .. struct.pack(LOSSES, M.overflow, M.expired, M.dropped, M.lost) end
	for _, o in ipairs(M.owners) do
		v = v .. struct.pack(OWNER, o.flags, #o.number, o.number, #o.node, o.node)
	end
	if off then
		call('LPUSH', I, v)
	else
		call('LSET', I, 0, v)
	end
	off = false
end

local function owner(node, number)
	for i, o in ipairs(M.owners) do
		if o.node == node and o.number == number then return o, i end
	end
end

-- An entry: flags, when stored, when it expires (0: never), size, body.
local ENTRY = '>BI6I6I4'

-- shift takes n entries off the front, and those that are lost after them.
local function shift(n)
	if not off then
		call('LPOP', I)
		off = true
	end
	local function gone(v)
		M.base = M.base + 1
		if v == '' then return end
		local _, _, _, size = struct.unpack(ENTRY, v)
		M.n, M.bytes = M.n - 1, M.bytes - size
	end
	while n > 0 do
		local vs = call('LPOP', I, math.min(n, 500))
		if not vs then
			M.n, M.bytes, M.base = 0, 0, M.last + 1 -- whatever was said before
			break
		end
		for _, v in ipairs(vs) do gone(v) end
		n = n - #vs
	end
	while call('LINDEX', I, 0) == '' do gone(call('LPOP', I)) end
end

-- expire loses entries whose time is over, and says whether there were any.
local function expire()
	if not M.epoch or M.soonest == 0 or now < M.soonest then return false end
	local front, soonest, i = 0, 0, 0
	local from = off and 0 or 1
	while true do
		local vs = call('LRANGE', I, from + i, from + i + 99)
		if #vs == 0 then break end
		for _, v in ipairs(vs) do
			i = i + 1
			if v ~= '' then
				local _, _, at, size = struct.unpack(ENTRY, v)
				if at > 0 and at <= now then
					M.expired = math.max(M.expired, M.base + i - 1)
					M.lost = M.lost + 1
					if front == i - 1 then
						front = i
					else
						call('LSET', I, from + i - 1, '')
						M.n, M.bytes = M.n - 1, M.bytes - size
					end
				elseif at > 0 and (soonest == 0 or at < soonest) then
					soonest = at
				end
			elseif front == i - 1 then
				front = i
			end
		end
	end
	M.soonest = soonest
	if front > 0 then shift(front) end
	return true
end

local function tell(node, what) call('PUBLISH', prefix .. 'node:' .. node, what) end

-- forget ends the inbox's being one of a device's.
local function forget()
	if device ~= '' then call('SREM', devices, device) end
end

-- takeOver ends the ownership of all but one owner, and appends their nodes to a list.
local function takeOver(node, number, nodes)
	for _, o in ipairs(M.owners) do
		if o.node ~= node or o.number ~= number then
			tell(o.node, struct.pack('>BHc0', 116, #o.number, o.number) .. name)
			nodes[#nodes + 1] = o.node
		end
	end
	M.owners = {}
end

-- same sees whether Redis has the history in which the epoch began; if not, numbers may have been given twice: a new
-- epoch begins, and those who have opened the inbox must do so again.
local function same()
	local id = line()
	if id == M.line then return true end
	M.line = id
	M.epoch = math.max(M.epoch + 1, time[1] * 1000000 + time[2])
	for _, o in ipairs(M.owners) do
		if o.flags < STALE then o.flags = o.flags + STALE end
	end
	return false
end

local function acknowledge(seq)
	M.acked = seq
	if seq >= M.base then shift(seq - M.base + 1) end
end

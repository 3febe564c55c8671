-- Stores messages, and hands some out.
-- ARGV: lane, number of the call, how many, the size of all payloads, 1 if all are plain, and of each its record from the flags on, without
-- what the TTL adds; if they aren't plain, followed by its id and by its times: delay, when, TTL, or nothing for none. Plain ones have no
-- ids, keys, priorities and times. Then a claim, if there is one.
-- Returns the durability (0: the store's), the number of messages dropped, how many nodes were woken; if all messages were stored the number
-- of the first, otherwise what became of each (0 stored, 1 known, 2 no room, 3 no room for the id) and its number; and the answer to the claim.
local was = again(ARGV[1], ARGV[2])
if was then
	if was[5] then was[5] = reclaim(was[5]) end
	return was
end
due()
if C.publishPaused == 1 then
	save()
	return { err = 'PAUSED publishing is paused' }
end
turn()
local count, plain, dropped, results = tonumber(ARGV[3]), ARGV[5] == '1', 0, {}
local each = plain and 1 or 3
local behind = 6 + each * count -- where the claim is

-- Numbers that are used elsewhere, or are what a message is known by, must not come again when Redis has lost the last ones.
local numbered = plain or string.find(Q, '{q:$', 1, true)
if not plain then
	for i = 7, behind - 1, 3 do numbered = numbered or ARGV[i] == '' end
end
if numbered then line() end
local last = S.seq

-- Ids that are known, of two windows.
local known = {}
if C.dedupe > 0 and not plain then
	local ids = {}
	for i = 7, behind - 1, 3 do
		if ARGV[i] ~= '' then ids[#ids + 1] = ARGV[i] end
	end
	if #ids > 0 then
		local a = call('HMGET', Q .. ':ids0', unpack(ids))
		local b = call('HMGET', Q .. ':ids1', unpack(ids))
		for i, id in ipairs(ids) do known[id] = a[i] or b[i] or nil end
	end
end

-- What is to be written, in few commands.
local records, scheduled, expiry, ids = {}, {}, {}, {}
local function store()
	if #records > 0 then hset(':messages', records) end
	if #scheduled > 0 then zadd(':scheduled', scheduled) end
	if #expiry > 0 then zadd(':expiry', expiry) end
	if #ids > 0 then
		hset(':ids' .. S.idTurn, ids)
		call('PEXPIRE', Q .. ':ids' .. S.idTurn, 3 * C.dedupe + 60000) -- if nobody comes any more
	end
	records, scheduled, expiry, ids = {}, {}, {}, {}
end
local function flush()
	store()
	enlist()
end

local stored = struct.pack('>I6', now)
local ample = room(tonumber(ARGV[4]), count) -- for all of them

local function publish(draft, id, times)
	local remember = C.dedupe > 0 and id ~= ''
	if remember then
		if known[id] then
			S.duplicates = S.duplicates + 1
			return 1, known[id]
		end
		if S.idBytes0 + S.idBytes1 + 64 + #id > C.dedupeBytes then
			S.refused = S.refused + 1
			return 3, '0'
		end
	end
	local flags, size = struct.unpack('>BI4', draft)
	if not ample then
		local fits, n = make(size, flush)
		dropped = dropped + n
		if not fits then
			S.refused = S.refused + 1
			return 2, '0'
		end
	end
	S.seq = S.seq + 1
	local seq = string.format('%d', S.seq)
	local ready, ttl = 0, 0
	if times ~= '' then
		local delay, when
		delay, when, ttl = struct.unpack('>I6I6I6', times)
		if delay > 0 then
			ready = now + delay
		elseif when > now then
			ready = when
		end
	end
	local key = ''
	if flags % (2 * KEY) >= KEY then key = struct.unpack('>Bc0', draft, 6) end
	if ttl == 0 then ttl = C.ttl end
	local v
	if ttl > 0 then
		local expires = math.max(now, ready) + ttl
		v = stored .. struct.pack('>BI4I6I6', flags + TTL, size, expires, ttl) .. string.sub(draft, 6)
		expiry[#expiry + 1] = expires
		expiry[#expiry + 1] = seq
		soon(expires)
	else
		v = stored .. draft
	end
	local n = #records
	records[n + 1], records[n + 2] = seq, v
	if remember then
		known[id] = seq
		local bytes = 'idBytes' .. S.idTurn
		S[bytes] = S[bytes] + 64 + #id
		n = #ids
		ids[n + 1], ids[n + 2] = id, seq
	end
	S.bytes = S.bytes + size
	S.published = S.published + 1
	if key ~= '' and call('HSETNX', Q .. ':keys', key, seq) == 0 then
		call('RPUSH', Q .. ':key:' .. key, seq)
		S.blocked = S.blocked + 1
	elseif ready > 0 then
		scheduled[#scheduled + 1] = ready
		scheduled[#scheduled + 1] = seq
		S.out = S.out + 1
		soon(ready)
	else
		local p = flags % 4
		local line = fresh(p)
		n = #line.ids + 1
		line.ids[n], line.records[n] = seq, v
		R[p] = R[p] + 1
	end
	return 0, seq
end

-- Plain ones for which there is room need no look at each.
local function publishPlain()
	local line, format, n = fresh(0), string.format, S.seq
	local list, kept = line.ids, line.records
	line.before = n
	for i = 1, count do
		local seq, v = format('%d', n + i), stored .. ARGV[5 + i]
		list[i], kept[i] = seq, v
		records[2 * i - 1], records[2 * i] = seq, v
	end
	S.seq, S.bytes, S.published, R[0] = n + count, S.bytes + tonumber(ARGV[4]), S.published + count, R[0] + count
end

if plain and ample and C.ttl <= 0 then
	publishPlain()
else
	for i = 1, count do
		local at = 6 + each * (i - 1)
		results[2 * i - 1], results[2 * i] = publish(ARGV[at], plain and '' or ARGV[at + 1], plain and '' or ARGV[at + 2])
		if i % 500 == 0 then flush() end
	end
end
store()

if S.seq == last + count then results = string.format('%d', last + 1) end
local answer, given
if S.blocked > 0 then enlist() end -- what a key lets go comes behind what is new
if ARGV[behind] then answer, given = claim(behind) end
enlist()
local woken = wake()
local reply, kept = { C.durability, dropped, woken, results, answer }, { C.durability, dropped, woken, results, given }
save()
done(ARGV[1], ARGV[2], kept)
return reply

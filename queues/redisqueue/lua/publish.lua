--use queue move take
-- Stores messages, and hands some out.
-- ARGV: lane, number of the call, how many, for each of them its head (flags, delay, when, TTL, size, key), its id and its
-- body; then a claim, if there is one.
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
local count, dropped, results = tonumber(ARGV[3]), 0, {}

-- Numbers that are used elsewhere, or are what a message is known by, must not come again when Redis has lost the last ones.
local numbered = string.find(Q, '{q:$', 1, true)
for i = 5, 2 + 3 * count, 3 do numbered = numbered or ARGV[i] == '' end
if numbered then line() end
local last = S.seq

-- Ids that are known, of two windows.
local known = {}
if C.dedupe > 0 then
	local ids = {}
	for i = 5, 2 + 3 * count, 3 do
		if ARGV[i] ~= '' then ids[#ids + 1] = ARGV[i] end
	end
	if #ids > 0 then
		local a = call('HMGET', Q .. ':ids0', unpack(ids))
		local b = call('HMGET', Q .. ':ids1', unpack(ids))
		for i, id in ipairs(ids) do known[id] = a[i] or b[i] or nil end
	end
end

-- What is to be written, in few commands.
local records, lists, scheduled, expiry, ids = {}, { [0] = {}, {}, {}, {} }, {}, {}, {}
local function flush()
	if #records > 0 then hset(':messages', records) end
	for p = 0, 3 do
		if #lists[p] > 0 then call('RPUSH', Q .. ':ready' .. p, unpack(lists[p])) end
	end
	if #scheduled > 0 then zadd(':scheduled', scheduled) end
	if #expiry > 0 then zadd(':expiry', expiry) end
	if #ids > 0 then
		hset(':ids' .. S.idTurn, ids)
		call('PEXPIRE', Q .. ':ids' .. S.idTurn, 3 * C.dedupe + 60000) -- if nobody comes any more
	end
	records, lists, scheduled, expiry, ids = {}, { [0] = {}, {}, {}, {} }, {}, {}, {}
end

local function publish(draft, id, body)
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
	local flags, delay, when, ttl, size, key = struct.unpack('>BI6I6I6I4Bc0', draft)
	local fits, n = room(size, flush)
	dropped = dropped + n
	if not fits then
		S.refused = S.refused + 1
		return 2, '0'
	end
	S.seq = S.seq + 1
	local seq = string.format('%d', S.seq)
	local ready = 0
	if delay > 0 then
		ready = now + delay
	elseif when > now then
		ready = when
	end
	local expires = 0
	if ttl == 0 then ttl = C.ttl end
	if ttl > 0 then
		expires = math.max(now, ready) + ttl
		flags = flags + TTL
		expiry[#expiry + 1] = expires
		expiry[#expiry + 1] = seq
		soon(expires)
	end
	records[#records + 1] = seq
	records[#records + 1] = record(flags, now, size, expires, ttl, key, body)
	if remember then
		known[id] = seq
		local bytes = 'idBytes' .. S.idTurn
		S[bytes] = S[bytes] + 64 + #id
		ids[#ids + 1] = id
		ids[#ids + 1] = seq
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
		local list = lists[p]
		list[#list + 1] = seq
		R[p] = R[p] + 1
	end
	return 0, seq
end

for i = 1, count do
	results[2 * i - 1], results[2 * i] = publish(ARGV[1 + 3 * i], ARGV[2 + 3 * i], ARGV[3 + 3 * i])
	if i % 500 == 0 then flush() end
end
flush()

if S.seq == last + count then results = string.format('%d', last + 1) end
local answer, given
if ARGV[4 + 3 * count] then answer, given = claim(4 + 3 * count) end
local woken = wake()
local reply, kept = { C.durability, dropped, woken, results, answer }, { C.durability, dropped, woken, results, given }
save()
done(ARGV[1], ARGV[2], kept)
return reply

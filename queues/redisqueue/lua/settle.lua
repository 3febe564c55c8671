-- Ends hand-outs, and hands some out.
-- ARGV: lane, number of the call, how many, 1 if none is named twice, of each the number and the rest: outcome, fence, delay (-1: none, 0: the queue's),
-- grace, node, error; or of an acknowledgement whoever has the message, fence and LEASED, the 8 bytes that are in its tries; then a claim,
-- if there is one.
-- Returns how many died, how many nodes were woken, 0 if all were done, otherwise of each 0 done, 1 superseded or 2 gone; and the answer to
-- the claim.
local ACK, NACK, RELEASE, REJECT, PARK = 1, 2, 3, 4, 5
local was = again(ARGV[1], ARGV[2])
if was then
	if was[4] then was[4] = reclaim(was[4]) end
	return was
end
due()

local count, distinct, ids = tonumber(ARGV[3]), ARGV[4] == '1', {}
for i = 1, count do ids[i] = ARGV[3 + 2 * i] end
local kept = count > 0 and call('HMGET', Q .. ':tries', unpack(ids)) or {}
local happened, ENDED = {}, 0 -- to those that may come again

-- Acknowledged ones that were leased are deleted together.
local acked, n, bytes, short, left = {}, 0, 0, {}, {}
local find, unfold = string.find, struct.unpack

-- holder returns the session and the key of tries. Most are as the last.
local holders, last, session, key = {}, '', '', ''
local function holder(k)
	if #k == 13 + #last and find(k, last, 14, true) then return session, key end
	last = string.sub(k, 14)
	local h = holders[last]
	if not h then
		local _, _, _, _, s, c = unfold('>I4I4I6Hc0Hc0Bc0', last)
		h = { s, c }
		holders[last] = h
	end
	session, key = h[1], h[2]
	return session, key
end

local function acknowledge(id, k)
	n = n + 1
	acked[n] = id
	if not distinct then happened[id] = ENDED end
	local flags, size = unfold('>BI4', k)
	bytes = bytes + size
	if flags % (2 * TTL) >= TTL then short[#short + 1] = id end
	local session, key = holder(k)
	if session ~= '' then
		left[session] = left[session] or {}
		table.insert(left[session], id)
	end
	if key ~= '' then free(id, key) end
	return 0
end

local function settle(id, k, rest)
	if not distinct then
		local newer = happened[id]
		if newer == ENDED then return 2 end
		if newer ~= nil then k = newer end
	end
	if not k then return call('HEXISTS', Q .. ':messages', id) == 1 and 1 or 2 end -- the hand-out was lost, with Redis' power
	local outcome, fence, delay, grace, wanted, text = ACK, nil, 0, 0, '', ''
	if #rest == 8 then
		if find(k, rest, 6, true) == 6 then return acknowledge(id, k) end
		fence = unfold('>I7', rest)
	else
		outcome, fence, delay, grace, wanted, text = unfold('>BI7i8I6Hc0Hc0', rest)
	end
	local _, _, current, state, _, _, _, node, session = unfold(TRIES, k)
	if fence ~= current or wanted ~= '' and (state == WAITING or node ~= wanted) then return 1 end
	if outcome == ACK and state ~= WAITING then return acknowledge(id, k) end
	local e = load(id)
	if not e then
		call('HDEL', Q .. ':tries', id)
		return 2
	end
	if outcome == ACK then
		S.acked = S.acked + 1
		take(e)
		erase(e)
	elseif outcome == REJECT then
		take(e)
		bury(e, 'rejected', text)
	elseif state == WAITING then
		return 0 -- given back before
	elseif outcome == NACK then
		S.nacked = S.nacked + 1
		fail(e, delay ~= 0 and delay or nil, text)
	elseif outcome == PARK and grace > 0 and session ~= '' then
		park(e, grace)
	else
		S.released = S.released + 1
		release(e)
	end
	if not distinct then happened[id] = call('HGET', Q .. ':tries', id) end
	return 0
end

math.randomseed(time[2])
local before = S.buried
local results = 0
for i = 1, count do
	local what = settle(ids[i], kept[i], ARGV[4 + 2 * i])
	if what ~= 0 and results == 0 then
		results = {}
		for j = 1, i - 1 do results[j] = 0 end
	end
	if results ~= 0 then results[i] = what end
end
if n > 0 then
	S.acked, S.bytes = S.acked + n, S.bytes - bytes
	call('HDEL', Q .. ':messages', unpack(acked))
	call('HDEL', Q .. ':tries', unpack(acked))
	call('ZREM', Q .. ':leased', unpack(acked))
	if #short > 0 then call('ZREM', Q .. ':expiry', unpack(short)) end
	for session, list in pairs(left) do call('SREM', Q .. ':session:' .. session, unpack(list)) end
end
local dead = S.buried - before
local answer, given
if ARGV[5 + 2 * count] then answer, given = claim(5 + 2 * count) end
local woken = wake()
save()
done(ARGV[1], ARGV[2], { dead, woken, results, given })
return { dead, woken, results, answer }

-- Ends hand-outs, and hands some out.
-- ARGV: lane, number of the call, how many, of each the number and the rest: outcome, fence, delay (-1: none, 0: the queue's),
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

local count, ids = tonumber(ARGV[3]), {}
for i = 1, count do ids[i] = ARGV[2 + 2 * i] end
local happened = {}
for i, k in ipairs(#ids > 0 and call('HMGET', Q .. ':tries', unpack(ids)) or {}) do happened[ids[i]] = k end

-- Acknowledged ones that were leased are deleted together.
local acked, short, left = {}, {}, {}
local ENDED = 0

-- holder returns the session and the key of tries from the attempts on, most of which are alike.
local holders = {}
local function holder(rest)
	local h = holders[rest]
	if not h then
		local _, _, _, _, session, key = struct.unpack('>I4I4I6Hc0Hc0Bc0', rest)
		h = { session, key }
		holders[rest] = h
	end
	return h[1], h[2]
end

local function acknowledge(id, k)
	acked[#acked + 1] = id
	happened[id] = ENDED
	local flags, size = struct.unpack('>BI4', k)
	S.acked = S.acked + 1
	S.bytes = S.bytes - size
	if flags % (2 * TTL) >= TTL then short[#short + 1] = id end
	local session, key = holder(string.sub(k, 14))
	if session ~= '' then
		left[session] = left[session] or {}
		table.insert(left[session], id)
	end
	if key ~= '' then free(id, key) end
	return 0
end

local function settle(id, rest)
	local k = happened[id]
	if k == ENDED then return 2 end
	if not k then return call('HEXISTS', Q .. ':messages', id) == 1 and 1 or 2 end -- the hand-out was lost, with Redis' power
	local outcome, fence, delay, grace, wanted, text = ACK, nil, 0, 0, '', ''
	if #rest == 8 then
		if string.sub(k, 6, 13) == rest then return acknowledge(id, k) end
		fence = struct.unpack('>I7', rest)
	else
		outcome, fence, delay, grace, wanted, text = struct.unpack('>BI7i8I6Hc0Hc0', rest)
	end
	local _, _, current, state, _, _, _, node, session = struct.unpack(TRIES, k)
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
	happened[id] = call('HGET', Q .. ':tries', id) or nil
	return 0
end

math.randomseed(time[2])
local before = S.buried
local results, all = {}, true
for i = 1, count do
	results[i] = settle(ids[i], ARGV[3 + 2 * i])
	all = all and results[i] == 0
end
if all then results = 0 end
if #acked > 0 then
	call('HDEL', Q .. ':messages', unpack(acked))
	call('HDEL', Q .. ':tries', unpack(acked))
	call('ZREM', Q .. ':leased', unpack(acked))
	if #short > 0 then call('ZREM', Q .. ':expiry', unpack(short)) end
	for session, list in pairs(left) do call('SREM', Q .. ':session:' .. session, unpack(list)) end
end
local dead = S.buried - before
local answer, given
if ARGV[4 + 2 * count] then answer, given = claim(4 + 2 * count) end
local woken = wake()
save()
done(ARGV[1], ARGV[2], { dead, woken, results, given })
return { dead, woken, results, answer }

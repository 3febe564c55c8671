-- Lets leases end later.
-- ARGV: node (empty: any), for how long (0: the queue's lease), and of each number and fence.
-- Returns for how long, and of each 0 done, 1 superseded or 2 gone.
due()
local lease = tonumber(ARGV[2])
if lease == 0 then lease = C.lease end
local ids = {}
for i = 3, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
local reply, ends, at = { lease }, {}, string.format('%d', now + lease)
for i, k in ipairs(#ids > 0 and call('HMGET', Q .. ':tries', unpack(ids)) or {}) do
	reply[i + 1] = 2
	if not k and call('HEXISTS', Q .. ':messages', ids[i]) == 1 then
		reply[i + 1] = 1 -- the hand-out was lost, with Redis' power
	elseif k then
		local _, _, fence, state, _, _, _, node = struct.unpack(TRIES, k)
		if fence ~= tonumber(ARGV[2 + 2 * i]) or state == WAITING or ARGV[1] ~= '' and node ~= ARGV[1] then
			reply[i + 1] = 1
		else
			reply[i + 1] = 0
			if state == LEASED then
				ends[#ends + 1] = at
				ends[#ends + 1] = ids[i]
			end
		end
	end
end
if #ends > 0 then
	zadd(':leased', ends)
	soon(now + lease)
end
wake()
save()
return reply

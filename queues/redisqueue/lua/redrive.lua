-- Makes dead messages ready as if they were new: with the id that they had, and another number, since theirs may be a hole
-- somewhere.
-- ARGV: how many of the oldest, or 0 and the numbers. Returns how many.
due()
local numbers = {}
if ARGV[1] ~= '0' then
	numbers = call('ZRANGE', Q .. ':dead', 0, ARGV[1] - 1)
else
	for i = 2, #ARGV do numbers[#numbers + 1] = ARGV[i] end
end
local n = 0
for _, number in ipairs(numbers) do
	local v = call('HGET', Q .. ':letters', number)
	if v then
		local _, _, _, _, _, at = struct.unpack('>I6I4I4Bc0Hc0', v)
		local r = string.sub(v, at)
		local flags, stored, size, expires, ttl, key, body = head(r)
		if not make(size, function() end) then break end
		call('ZREM', Q .. ':dead', number)
		call('HDEL', Q .. ':letters', number)
		body = string.sub(r, body)
		if bit.band(flags, ID) == 0 then
			local id = '~' .. number
			flags, body = flags + ID, struct.pack('>Bc0', #id, id) .. body
		end
		S.seq = S.seq + 1
		local seq = string.format('%.0f', S.seq)
		if ttl > 0 then
			expires = now + ttl
			call('ZADD', Q .. ':expiry', expires, seq)
			soon(expires)
		end
		call('HSET', Q .. ':messages', seq, record(flags, stored, size, expires, ttl, key, body))
		S.bytes = S.bytes + size
		if key ~= '' and call('HSETNX', Q .. ':keys', key, seq) == 0 then
			call('RPUSH', Q .. ':key:' .. key, seq)
			S.blocked = S.blocked + 1
		else
			push(seq, flags, false)
		end
		n = n + 1
	end
end
wake()
save()
return n

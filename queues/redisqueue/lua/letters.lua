-- Looks for dead letters by the ids of messages, in steps. ARGV: from which place, how many to look at, ids.
-- Returns how many there were to look at, and the numbers of those found.
local wanted = {}
for i = 3, #ARGV do wanted[ARGV[i]] = true end
local list = call('ZRANGE', Q .. ':dead', ARGV[1], ARGV[1] + ARGV[2] - 1)
local reply = { #list }
for _, number in ipairs(list) do
	local v = call('HGET', Q .. ':letters', number)
	if v then
		local _, _, _, _, _, at = struct.unpack('>I6I4I4Bc0Hc0', v)
		local r = string.sub(v, at)
		local flags, _, _, _, _, _, body = head(r)
		local id = bit.band(flags, ID) ~= 0 and struct.unpack('>Bc0', r, body) or '~' .. number
		if wanted[id] then reply[#reply + 1] = number end
	end
end
return reply

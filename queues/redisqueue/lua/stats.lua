-- Returns the state, how many are scheduled, leased and dead, how long the oldest of those at the heads of the lines is
-- there, and 1 for what is paused.
due()
local oldest = 0
for p = 0, 3 do
	local id = call('LINDEX', Q .. ':ready' .. p, 0)
	while id do
		local v = call('HGET', Q .. ':messages', id)
		if v then
			local _, stored = head(v)
			oldest = math.max(oldest, now - stored)
			break
		end
		call('LPOP', Q .. ':ready' .. p)
		S.holes = S.holes - 1
		id = call('LINDEX', Q .. ':ready' .. p, 0)
	end
end
wake()
save()
return { call('GET', Q .. ':state'), call('ZCARD', Q .. ':scheduled'), call('ZCARD', Q .. ':leased'),
	call('ZCARD', Q .. ':dead'), oldest, C.publishPaused, C.consumePaused }

-- Moves what is due, forgets what is too old, and sets right what is wrong. Returns in how many milliseconds to come again, or -1.

-- heal sets counters right that are wrong since a script has failed halfway, over something that isn't ours.
local function heal()
	S.waiting = call('HLEN', Q .. ':waiters')
	local all = call('HLEN', Q .. ':messages')
	local out = call('ZCARD', Q .. ':scheduled') + call('ZCARD', Q .. ':leased')
	if all == ready() + S.blocked + out then return end
	for p = 0, 3 do R[p] = call('LLEN', Q .. ':ready' .. p) end -- holes that are among them go when they are met
	S.blocked = math.max(0, all - out - ready())
	if all == 0 then S.bytes = 0 end
end

heal()
local next = 0
if due() then
	turn()
	refresh()
	next = -1
	if S.due > 0 then next = math.max(0, S.due - now) end
end
wake()
save()
return next

--use queue move
-- Moves what is due and forgets what is too old. Returns in how many milliseconds to come again, or -1.
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

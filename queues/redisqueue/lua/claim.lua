--use queue move take
-- Hands out messages.
-- ARGV: lane, number of the call, a claim. Returns the answer to it.
local was = again(ARGV[1], ARGV[2])
if was then return reclaim(was) end
due()
local reply, kept = claim(3)
wake()
save()
if #kept[4] > 0 then done(ARGV[1], ARGV[2], kept) end
return reply

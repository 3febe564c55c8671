-- Hands out messages.
-- ARGV: lane, number of the call, a claim. Returns how many nodes were woken, and the answer to it.
local was = again(ARGV[1], ARGV[2])
if was then return { 0, reclaim(was) } end
due()
local answer, given = claim(3)
local woken = wake()
save()
local kept = false
for _, what in ipairs(given[3]) do kept = kept or what[2] ~= '' end
if kept then done(ARGV[1], ARGV[2], given) end
return { woken, answer }

-- Makes the inbox a member of a topic. ARGV: topic, limits of topics and devices. Returns 1, 2 if the inbox was
-- made, or 0 if it is a member of too many.
if call('HEXISTS', I .. ':topics', ARGV[1]) == 1 then return 1 end
if call('HLEN', I .. ':topics') >= tonumber(ARGV[2]) then return 0 end
local made = not M.epoch
if not create(ARGV[3]) then return { err = 'INBOXES too many devices' } end
M.used = now
call('HSET', I .. ':topics', ARGV[1], 0)
save()
return made and 2 or 1

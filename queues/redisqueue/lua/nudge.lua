-- Tells other nodes that wait when those that were told have not come. Returns how many.
local woken = wake()
if woken > 0 then save() end
return woken

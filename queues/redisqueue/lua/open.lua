-- Makes somebody an owner. ARGV: node, number, 1 for a mirror, 1 if there is a position, its epoch and number, how many devices.
-- Returns epoch, acknowledged, first, last, what was lost ('': nothing), nodes whose owners were taken over, and 1 if the inbox was
-- made.
local made = M.epoch and 0 or 1
if not create(ARGV[7]) then return { err = 'INBOXES too many devices' } end
same()
expire()
local mirror, nodes = ARGV[3] == '1', {}
local alone = false
for _, o in ipairs(M.owners) do
	if o.flags % 2 ~= MIRROR then alone = true end
end
if mirror and not alone then
	local _, i = owner(ARGV[1], ARGV[2])
	if i then table.remove(M.owners, i) end
else
	takeOver(ARGV[1], ARGV[2], nodes)
end
M.owners[#M.owners + 1] = { node = ARGV[1], number = ARGV[2], flags = TOLD + (mirror and MIRROR or 0) }

local known, seq = true, 0
if ARGV[4] == '1' then
	seq = tonumber(ARGV[6])
	known = tonumber(ARGV[5]) == M.epoch and seq <= M.last
end
if known and seq > M.acked then acknowledge(seq) end
local lost = ''
if not known then
	lost = 'epoch'
elseif M.overflow > M.acked then
	lost = 'overflow'
elseif M.expired > M.acked then
	lost = 'expired'
end
M.used = now
save()
return { M.epoch, M.acked, M.n > 0 and M.base or M.last + 1, M.last, lost, nodes, made }

-- Deletes entries. ARGV: node, number, epoch, up to where. Returns up to where all is acknowledged.
if not there then return { err = 'EPOCH the inbox is another one' } end
if not same() then save() end
local o = owner(ARGV[1], ARGV[2])
if not o then return { err = 'TAKEN taken over' } end
local seq = tonumber(ARGV[4])
if o.flags >= STALE or tonumber(ARGV[3]) ~= M.epoch then return { err = 'EPOCH the inbox is another one' } end
if seq > M.last then return { err = 'CONFLICT the inbox has no such entry yet' } end
if seq > M.acked then
	acknowledge(seq)
	M.used = now
	save()
end
return M.acked

-- Gives what a session holds to a node.
-- ARGV: session, node. Returns the lease, and of each number, fence, attempt, failures and record.
due()
local ids = call('SMEMBERS', Q .. ':session:' .. ARGV[1])
table.sort(ids, function(a, b) return tonumber(a) < tonumber(b) end)
local reply = { C.lease }
for i, id in ipairs(ids) do
	local e = load(id)
	if e and e.state ~= WAITING and e.session == ARGV[1] then
		e.state, e.node = LEASED, ARGV[2]
		call('HSET', Q .. ':tries', id, tries(e))
		call('ZADD', Q .. ':leased', now + C.lease, id)
		soon(now + C.lease)
		local n = #reply
		reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4], reply[n + 5] = id, e.fence, e.attempt, e.failures, e.record
	else
		call('SREM', Q .. ':session:' .. ARGV[1], id)
	end
end
wake()
save()
return reply

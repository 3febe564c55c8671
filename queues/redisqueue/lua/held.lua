-- Looks for what a node holds, in steps.
-- ARGV: node, where to go on, how many to look at. Returns where to go on, and of each number, fence, session and grace.
local step = call('HSCAN', Q .. ':tries', ARGV[2], 'COUNT', ARGV[3])
local reply = { step[1] }
for i = 1, #step[2], 2 do
	local _, _, fence, state, _, _, grace, node, session = struct.unpack(TRIES, step[2][i + 1])
	if state == LEASED and node == ARGV[1] then
		local n = #reply
		reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = step[2][i], fence, session, grace
	end
end
return reply

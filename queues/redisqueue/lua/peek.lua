-- Shows messages. ARGV: state, how many to skip, how many to show.
-- Returns how long dead letters are kept, and of each number, when the state ends (0: open), record and tries ('': none),
-- or for dead ones what is kept of them.
due()
local state, offset, n = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local reply, bytes = { C.deadTTL }, 0

local function show(id, at)
	local v = call('HGET', Q .. ':messages', id)
	if not v then return false end
	if offset > 0 then
		offset = offset - 1
		return true
	end
	local i = #reply
	reply[i + 1], reply[i + 2], reply[i + 3], reply[i + 4] = id, at, v, call('HGET', Q .. ':tries', id) or ''
	n, bytes = n - 1, bytes + #v
	if bytes > 8000000 then n = 0 end -- a look, not a copy
	return true
end

local function walk(list)
	local from = 0
	while n > 0 do
		local ids = call('LRANGE', list, from, from + 99)
		if #ids == 0 then return end
		for _, id in ipairs(ids) do
			if n > 0 then show(id, 0) end
		end
		from = from + 100
	end
end

if state == 'ready' then
	for p = 3, 0, -1 do walk(Q .. ':ready' .. p) end
elseif state == 'scheduled' or state == 'leased' then
	local list = call('ZRANGE', Q .. ':' .. state, offset, offset + n - 1, 'WITHSCORES')
	offset = 0
	for i = 1, #list, 2 do
		if n > 0 then show(list[i], tonumber(list[i + 1])) end
	end
elseif state == 'blocked' then
	-- In the order of their numbers, of at most 1000 keys.
	local ids, step = {}, call('HSCAN', Q .. ':keys', 0, 'COUNT', 1000)[2]
	for i = 1, #step, 2 do
		for _, id in ipairs(call('LRANGE', Q .. ':key:' .. step[i], 0, offset + n + 100)) do ids[#ids + 1] = id end
	end
	table.sort(ids, function(a, b) return tonumber(a) < tonumber(b) end)
	for _, id in ipairs(ids) do
		if n > 0 then show(id, 0) end
	end
else
	for _, id in ipairs(call('ZRANGE', Q .. ':dead', offset, offset + n - 1)) do
		local v = call('HGET', Q .. ':letters', id)
		if v and bytes < 8000000 then
			bytes = bytes + #v
			local i = #reply
			reply[i + 1], reply[i + 2], reply[i + 3], reply[i + 4] = id, 0, v, ''
		end
	end
end
wake()
save()
return reply

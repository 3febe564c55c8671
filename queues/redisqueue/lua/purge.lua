-- Deletes dead messages, or all others that aren't leased, in steps. ARGV: 1 for the dead, how many. Returns how many.
due()
local n, most = 0, tonumber(ARGV[2])

local function away(id, from)
	local e = load(id)
	if not e then
		if from ~= ':scheduled' then S.holes = S.holes - 1 end
		return
	end
	if e.tried then S.tried = S.tried - 1 end
	erase(e)
	n = n + 1
end

-- blocked deletes what waits for keys whose messages are leased or scheduled.
local function blocked()
	local at = '0'
	repeat
		local step = call('HSCAN', Q .. ':keys', at, 'COUNT', 100)
		at = step[1]
		for i = 1, #step[2], 2 do
			local line = Q .. ':key:' .. step[2][i]
			while n < most do
				local id = call('LPOP', line)
				if not id then break end
				local before = n
				away(id, line)
				S.blocked = S.blocked - (n - before)
			end
		end
	until at == '0' or n >= most or S.blocked <= 0
end

if ARGV[1] == '1' then
	while n < most and call('ZCARD', Q .. ':dead') > 0 do
		bin()
		n = n + 1
	end
else
	for p = 0, 3 do
		while n < most and R[p] > 0 do
			local id = call('LPOP', Q .. ':ready' .. p)
			if not id then
				R[p] = 0
				break
			end
			local before = n
			away(id, ':ready')
			R[p] = R[p] - (n - before)
		end
	end
	if n < most and S.blocked > 0 then blocked() end
	while n < most do
		local id = call('ZPOPMIN', Q .. ':scheduled')[1]
		if not id then break end
		away(id, ':scheduled')
	end
end
save()
return n

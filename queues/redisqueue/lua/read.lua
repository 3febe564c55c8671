-- Returns entries. ARGV: node, number, after which, how many, how many bytes (0: no limit).
-- Returns epoch, acknowledged, up to where was read, last, and of each its number and the entry.
if not there then return { err = 'EPOCH the inbox is another one' } end
local o = owner(ARGV[1], ARGV[2])
if not same() then
	save()
	o = owner(ARGV[1], ARGV[2])
end
if not o then return { err = 'TAKEN taken over' } end
if o.flags >= STALE then return { err = 'EPOCH the inbox is another one' } end
local changed = expire()
if o.flags % 4 >= TOLD then
	o.flags = o.flags - TOLD
	changed = true
end
if changed then save() end

local after = math.max(tonumber(ARGV[3]), M.acked)
local most, mostBytes = tonumber(ARGV[4]), tonumber(ARGV[5])
local reply, n, bytes, through = { M.epoch, M.acked, M.last, M.last }, 0, 0, nil
local i = math.max(after + 1, M.base) - M.base
local step = mostBytes > 0 and 32 or 500
local function full() return n >= most or mostBytes > 0 and bytes >= mostBytes end
repeat
	local vs = call('LRANGE', I, 1 + i, i + math.min(step, most - n + 1))
	for _, v in ipairs(vs) do
		if full() then
			through = M.base + i - 1
			break
		end
		if v ~= '' then
			local _, _, _, size = struct.unpack(ENTRY, v)
			local r = #reply
			reply[r + 1], reply[r + 2] = M.base + i, v
			n, bytes = n + 1, bytes + size
		end
		i = i + 1
	end
until #vs == 0 or through
if through then reply[3] = through end
return reply

-- A queue, for every function about one: its configuration C, its state S, its records.
--
-- The key begins the names of all its keys, which are in one slot:
--   :config     the numbers of its configuration     :json       all of it
--   :state      S                                    :messages   HASH number -> record
--   :ready0..3  LIST of numbers, by priority         :scheduled  ZSET number -> when it is due
--   :leased     ZSET number -> when the lease ends   :tries      HASH number -> what happened to it
--   :keys       HASH key -> number that has it       :key:<key>  LIST of numbers that wait for it
--   :expiry     ZSET number -> when its TTL is over  :ids0 :ids1 HASH id -> number, two windows
--   :dead       ZSET number -> order of death        :letters    HASH number -> why, and the record
--   :waiters    HASH node -> messages it waits for   :session:<s> SET of numbers it holds
--   :done:<l>   what the last call of a lane answered
--
-- Times are Unix milliseconds, of Redis. Numbers of messages are strings here.
local call, Q, time, now, ARGV, packed

-- They are made with all their fields, since a table that grows is slow, and once, since what each call makes is to be collected.
local C = { lease = 0, maxFailures = 0, maxAttempts = 0, backoffBase = 0, backoffMax = 0, maxLen = 0, maxBytes = 0, drop = 0,
	ttl = 0, deadExpired = 0, deadTTL = 0, deadMax = 0, skip = 0, dedupe = 0, dedupeBytes = 0, rate = 0, burst = 0,
	durability = 0, publishPaused = 0, consumePaused = 0 }
local S = { seq = 0, fence = 0, blocked = 0, bytes = 0, tried = 0, holes = 0, due = 0, waiting = 0, allowed = 0, idStart = 0,
	idTurn = 0, idBytes0 = 0, idBytes1 = 0, published = 0, duplicates = 0, refused = 0, delivered = 0, redelivered = 0,
	acked = 0, nacked = 0, released = 0, lapsed = 0, buried = 0, expired = 0, dropped = 0, line = '', out = false }
local R = { [0] = 0, 0, 0, 0 } -- how many are ready, by priority

local lined, handed, new -- of handing out

-- begin begins a call. It returns an error if there is no such queue.
local function begin(keys, args)
	call, Q, ARGV = redis.call, keys[1], args
	time = call('TIME')
	now = time[1] * 1000 + math.floor(time[2] / 1000)
	lined, handed, new = false, 0, {}

	packed = call('MGET', Q .. ':config', Q .. ':state')
	if not packed[1] or not packed[2] then return { err = 'NOQUEUE no such queue' } end
	C.lease, C.maxFailures, C.maxAttempts, C.backoffBase, C.backoffMax, C.maxLen, C.maxBytes, C.drop, C.ttl,
		C.deadExpired, C.deadTTL, C.deadMax, C.skip, C.dedupe, C.dedupeBytes, C.rate, C.burst,
		C.durability, C.publishPaused, C.consumePaused = struct.unpack('>dddddddddddddddddddd', packed[1])
	local at
	S.seq, S.fence, S.blocked, S.bytes, S.tried, S.holes, S.due, S.waiting, S.allowed, R[0], R[1], R[2], R[3],
		S.idStart, S.idTurn, S.idBytes0, S.idBytes1, S.published, S.duplicates, S.refused, S.delivered, S.redelivered,
		S.acked, S.nacked, S.released, S.lapsed, S.buried, S.expired, S.dropped, at =
		struct.unpack('>ddddddddddddddddddddddddddddd', packed[2])
	S.line, S.out = string.sub(packed[2], at), false
end

-- save keeps the state. Whoever changes anything calls it at the end.
local function save()
	call('SET', Q .. ':state', struct.pack('>ddddddddddddddddddddddddddddd',
		S.seq, S.fence, S.blocked, S.bytes, S.tried, S.holes, S.due, S.waiting, S.allowed, R[0], R[1], R[2], R[3],
		S.idStart, S.idTurn, S.idBytes0, S.idBytes1, S.published, S.duplicates, S.refused, S.delivered, S.redelivered,
		S.acked, S.nacked, S.released, S.lapsed, S.buried, S.expired, S.dropped) .. S.line)
end

local function ready() return R[0] + R[1] + R[2] + R[3] end

-- A record: when stored, flags, size of the payload, [when it expires, its TTL], [key], and the body, which
-- is the store's alone. The lower two bits of the flags are the priority. Who publishes sends all from the flags on, but for
-- what the TTL adds.
local TTL, KEY, ID = 4, 8, 16

-- head reads a record up to its body: flags, stored, size, expires, ttl, key, where the body is.
local function head(v)
	local stored, flags, size, at = struct.unpack('>I6BI4', v)
	local expires, ttl, key = 0, 0, ''
	if bit.band(flags, TTL) ~= 0 then expires, ttl, at = struct.unpack('>I6I6', v, at) end
	if bit.band(flags, KEY) ~= 0 then key, at = struct.unpack('>Bc0', v, at) end
	return flags, stored, size, expires, ttl, key, at
end

local function record(flags, stored, size, expires, ttl, key, body)
	local v = struct.pack('>I6BI4', stored, flags, size)
	if expires > 0 then v = v .. struct.pack('>I6I6', expires, ttl) end
	if key ~= '' then v = v .. struct.pack('>Bc0', #key, key) end
	return v .. body
end

-- What happened to a message that was handed out: flags and size as in its record, fence, state, attempts, failures, how long
-- its session may keep it, who holds it, its key, and what was said when it failed.
local WAITING, LEASED, PARKED = 0, 1, 2
local TRIES = '>BI4I7BI4I4I6Hc0Hc0Bc0'

local function tries(e)
	return struct.pack(TRIES, e.flags, e.size, e.fence, e.state, e.attempt, e.failures, e.grace,
		#e.node, e.node, #e.session, e.session, #e.key, e.key) .. e.text
end

-- addAll puts n/2 pairs into a HASH or ZSET. While it is small Redis keeps it as a list, and would look for each of many from the
-- beginning: one of more than 64 bytes ends that.
local LONG = '-----------------------------------------------------------------'
local function addAll(key, pairs, n, add, size, remove)
	if n < 16 or call(size, Q .. key) > 512 then
		call(add, Q .. key, unpack(pairs, 1, n))
		return
	end
	call(add, Q .. key, add == 'ZADD' and 0 or LONG, LONG, unpack(pairs, 1, n))
	call(remove, Q .. key, LONG)
end
local function hset(key, pairs, n) addAll(key, pairs, n or #pairs, 'HSET', 'HLEN', 'HDEL') end
local function zadd(key, pairs, n) addAll(key, pairs, n or #pairs, 'ZADD', 'ZCARD', 'ZREM') end

-- again answers what a call of a lane has answered before: it came twice, since its reply was lost.
local function again(lane, n)
	if lane == '' then return nil end
	local v = call('GET', Q .. ':done:' .. lane)
	if not v then return nil end
	local was = cmsgpack.unpack(v)
	if was[1] == n then return was[2] end
	return nil
end

local function done(lane, n, reply)
	if lane ~= '' then call('SET', Q .. ':done:' .. lane, cmsgpack.pack({ n, reply }), 'PX', 60000) end
	return reply
end

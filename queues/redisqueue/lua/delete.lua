-- Deletes the queue. ARGV: 1 if also while messages are leased.
due()
if ARGV[1] ~= '1' and call('ZCARD', Q .. ':leased') > 0 then
	save()
	return { err = 'CONFLICT messages of the queue are being processed' }
end
for _, key in ipairs(call('HKEYS', Q .. ':keys')) do call('UNLINK', Q .. ':key:' .. key) end
local kept = call('HVALS', Q .. ':tries')
for _, k in ipairs(kept) do
	local _, _, _, _, _, _, _, _, session = struct.unpack(TRIES, k)
	if session ~= '' then call('UNLINK', Q .. ':session:' .. session) end
end
for _, key in ipairs({ 'config', 'json', 'state', 'messages', 'ready0', 'ready1', 'ready2', 'ready3', 'scheduled', 'leased',
	'tries', 'keys', 'expiry', 'ids0', 'ids1', 'dead', 'letters', 'waiters' }) do
	call('UNLINK', Q .. ':' .. key)
end
return 1

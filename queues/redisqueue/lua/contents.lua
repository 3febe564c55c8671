-- Returns the numbers of the inbox: epoch, entries, bytes, last, acknowledged, owners, topics, dropped, expired.
if not there then return {} end
if expire() then save() end
return { M.epoch, M.n, M.bytes, M.last, M.acked, #M.owners, call('HLEN', I .. ':topics'), M.dropped, M.lost }

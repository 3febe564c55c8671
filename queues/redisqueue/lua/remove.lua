-- Deletes the inbox. Returns its topics, and nodes whose owners were taken over, and 1 if it was there.
local nodes = {}
if there then takeOver('', '', nodes) end
local topics = call('HKEYS', I .. ':topics')
local window = math.floor(now / 300000)
call('UNLINK', I, I .. ':topics', I .. ':ids' .. window, I .. ':ids' .. window - 1, I .. ':ids' .. window + 1)
forget()
return { topics, nodes, there and 1 or 0 }

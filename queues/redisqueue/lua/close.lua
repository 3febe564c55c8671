-- Ends ownership. ARGV: node, number ('': all of the node). Returns how many owners the node has.
if not there then return 0 end
local rest, left = {}, 0
for _, o in ipairs(M.owners) do
	if o.node ~= ARGV[1] or ARGV[2] ~= '' and o.number ~= ARGV[2] then
		rest[#rest + 1] = o
		if o.node == ARGV[1] then left = left + 1 end
	end
end
M.owners, M.used = rest, now
save()
return left

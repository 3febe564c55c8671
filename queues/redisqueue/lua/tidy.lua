-- Loses what has expired, and the inbox if it is unused. ARGV: for how long (ms).
if not there then return 0 end
local changed = expire()
if M.n == 0 and #M.owners == 0 and M.used + ARGV[1] <= now and call('EXISTS', I .. ':topics') == 0 then
	call('UNLINK', I)
	forget()
	return 1
end
if changed then save() end
return 0

-- Stops or lets go on. ARGV: 1 if publishing is paused, 1 if consuming is.
C.publishPaused, C.consumePaused = tonumber(ARGV[1]), tonumber(ARGV[2])
call('SET', Q .. ':config', string.sub(packed[1], 1, -17) .. struct.pack('>dd', C.publishPaused, C.consumePaused))
wake()
save()
return 1

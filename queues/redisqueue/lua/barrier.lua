-- Writes something, so that what is confirmed of it is confirmed of all that was written before.
redis.call('SET', KEYS[1] .. ':barrier', 1, 'PX', 1000)
return 1

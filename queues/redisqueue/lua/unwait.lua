-- Lets a node wait no more. ARGV: node.
S.waiting = S.waiting - call('HDEL', Q .. ':waiters', ARGV[1])
wake()
save()
return 1

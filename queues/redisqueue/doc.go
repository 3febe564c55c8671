// Package redisqueue is a queues.Store in Redis 7.0 or newer, single, with
// Sentinel, or a cluster, for all nodes that share it.
//
// What a call does to a queue or inbox is one function in Lua, so it is atomic and
// there is no leader. The functions are a library, which is given to each server that hasn't got it. All keys of a queue are in one slot, and so are those of an
// inbox. Only Redis' clock counts.
//
// # What may be lost
//
// A publish is acknowledged at one of three levels (Config.Durability, and each
// queue's own): memory, once Redis has it; replica, once a replica has it too (WAIT);
// fsync, once it is on disk (appendfsync always, or WAITAOF of Redis 7.2). What
// Redis loses below the chosen level, in a crash or a failover, is lost, and
// settlements that are lost mean that messages come again. That this may have happened is seen
// from Redis' replication id: fences leap, so that none is issued twice, and inboxes
// get another epoch, so that their clients are told.
//
// # Retries
//
// A call whose connection broke before the reply is sent once more, and Redis answers it
// as it did the first time: each call has a number of its own on a lane, and the functions
// keep what the last call of a lane has answered. When that fails too, or Redis
// can't be reached, the error is queues.ErrUnavailable at once.
package redisqueue

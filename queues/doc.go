// Package queues keeps messages until they are settled.
//
// A work queue hands each message to one consumer at a time, under a lease; the
// consumer settles it once. An inbox holds, in order, what is meant for one name
// while its owner is away, and deletes it when the owner acknowledges.
//
// Hand-out is at least once, settlement exactly once: a message may be handed out
// again after a crash, a freeze longer than the lease, or a lost answer, and then
// Message.Attempt is above 1; but only one settlement of it succeeds, in the same
// step in which it is deleted.
//
// A Store keeps the messages: queues/memqueue for tests, queues/pebblequeue on this
// node's disk, queues/redisqueue in Redis. A Broker stands between a Store and the
// producers and consumers of one node. The package knows nothing of sockets.
package queues

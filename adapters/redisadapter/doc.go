// Package redisadapter joins nodes through Redis: Go nodes among themselves,
// and together with official Node servers, whose messages it reads and writes.
//
// PubSub speaks as @socket.io/redis-adapter (createAdapter), ShardedPubSub as
// its createShardedAdapter. All nodes of a cluster use the same adapter and the
// same Prefix.
//
// A Driver belongs to one server: nodes are counted by their subscriptions, and
// two servers with one Driver would count as one.
package redisadapter

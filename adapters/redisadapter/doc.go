// Package redisadapter joins nodes through Redis: Go nodes among themselves,
// and together with official Node servers, whose messages it reads and writes.
//
// PubSub speaks as @socket.io/redis-adapter (createAdapter), ShardedPubSub as
// its createShardedAdapter, Streams as @socket.io/redis-streams-adapter 0.3. All
// nodes of a cluster use the same adapter and the same Prefix.
//
// Streams is the one to choose where there is a choice: what a node or a client misses
// while it is away is in the stream. A node that reconnects to Redis goes on where it was, and
// with recovery on so does a client, on any node, also when its own was killed.
//
// A Driver belongs to one server: nodes are counted by their subscriptions, and
// two servers with one Driver would count as one.
package redisadapter

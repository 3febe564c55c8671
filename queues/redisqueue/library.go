package redisqueue

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var sources embed.FS

// function is a function of the library. What it does is in the file of its name.
type function string

const (
	publishFunction     function = "publish"
	claimFunction       function = "claim"
	settleFunction      function = "settle"
	extendFunction      function = "extend"
	sweepFunction       function = "sweep"
	heldFunction        function = "held"
	rebindFunction      function = "rebind"
	unwaitFunction      function = "unwait"
	nudgeFunction       function = "nudge"
	pauseFunction       function = "pause"
	deleteFunction      function = "delete"
	purgeFunction       function = "purge"
	lettersFunction     function = "letters"
	redriveFunction     function = "redrive"
	peekFunction        function = "peek"
	statsFunction       function = "stats"
	appendFunction      function = "append"
	openFunction        function = "open"
	readFunction        function = "read"
	acknowledgeFunction function = "acknowledge"
	closeFunction       function = "close"
	removeFunction      function = "remove"
	tidyFunction        function = "tidy"
	subscribeFunction   function = "subscribe"
	contentsFunction    function = "contents"
	barrierFunction     function = "barrier"
	beatFunction        function = "beat"
	configureFunction   function = "configure"
)

// families are functions that share files: these come before them, and have a function begin that each call begins with.
var families = []struct {
	shared    []string
	functions []function
}{
	{[]string{"queue", "move", "take"}, []function{
		publishFunction, claimFunction, settleFunction, extendFunction, sweepFunction, heldFunction, rebindFunction, unwaitFunction,
		nudgeFunction, pauseFunction, deleteFunction, purgeFunction, lettersFunction, redriveFunction, peekFunction, statsFunction,
	}},
	{[]string{"inbox"}, []function{
		appendFunction, openFunction, readFunction, acknowledgeFunction, closeFunction, removeFunction, tidyFunction,
		subscribeFunction, contentsFunction,
	}},
	{nil, []function{barrierFunction, beatFunction, configureFunction}},
}

// library is all functions, as Redis gets them. It and its functions are named after what is in it, so that nodes of several
// versions can share a server.
var library, libraryName = assemble()

// names are what Redis knows the functions by.
var names = func() map[function]any {
	names := map[function]any{}
	for _, family := range families {
		for _, f := range family.functions {
			names[f] = libraryName + "_" + string(f)
		}
	}
	return names
}()

// libraries is how the names of all versions begin.
const libraries = "roomcast_queues_"

func assemble() (text, name string) {
	read := func(name string) string {
		b, err := sources.ReadFile("lua/" + name + ".lua")
		if err != nil {
			panic(err) // it is part of the program
		}
		return string(b)
	}
	var b strings.Builder
	for _, family := range families {
		b.WriteString("do\n")
		for _, name := range family.shared {
			b.WriteString(read(name))
		}
		for _, f := range family.functions {
			b.WriteString("redis.register_function({ function_name = NAME .. '" + string(f) + "', callback = function(KEYS, ARGV)\n")
			if family.shared != nil {
				b.WriteString("local refused = begin(KEYS, ARGV)\nif refused then return refused end\n")
			}
			b.WriteString(read(string(f)))
			b.WriteString("end")
			if f != publishFunction && f != appendFunction { // what makes room must be possible when there is none
				b.WriteString(", flags = { 'allow-oom' }")
			}
			b.WriteString(" })\n")
		}
		b.WriteString("end\n")
	}
	sum := sha1.Sum([]byte(b.String()))
	name = libraries + hex.EncodeToString(sum[:6])
	return "#!lua name=" + name + "\nlocal NAME = '" + name + "_'\n" + b.String(), name
}

// loadLibrary gives a server the library. It takes those of other versions away if it hasn't got this one yet and tidy is true: a node
// that still needs one gives it to the server again.
func loadLibrary(ctx context.Context, server redis.Cmdable, tidy bool) error {
	there, err := server.FunctionList(ctx, redis.FunctionListQuery{LibraryNamePattern: libraries + "*"}).Result()
	if err != nil {
		return err
	}
	for _, l := range there {
		if l.Name == libraryName {
			return nil
		}
	}
	err = server.FunctionLoad(ctx, library).Err()
	if err != nil && !strings.Contains(err.Error(), "already exists") {
		return err
	}
	for _, l := range there {
		if tidy {
			_ = server.FunctionDelete(ctx, l.Name).Err() // another node may have done so
		}
	}
	return nil
}

// unknown says that a server hasn't got a function.
func unknown(err error) bool {
	return isReply(err) && strings.Contains(err.Error(), "Function not found")
}

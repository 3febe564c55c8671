// Command toxics runs Toxiproxy for scripts/chaos: links to servers that delay, throttle, cut up and reset what
// passes. It is a module of its own, since nothing else needs Toxiproxy.
//
// It reads a line of JSON for each command, answers with a line, and ends with its standard input:
//
//	{"link":"a","to":"127.0.0.1:6379"}                                              -> where it listens
//	{"link":"a","toxic":{"name":"x","type":"latency","attributes":{"latency":40}}}  -> ok
//	{"link":"a","remove":"x"}                                                       -> ok
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

type command struct {
	Link, To, Remove string
	Toxic            json.RawMessage
}

func main() {
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxics have loggers of their own
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	links := map[string]*toxiproxy.Proxy{}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		answer, err := do(server, links, in.Bytes())
		if err != nil {
			answer = "error: " + err.Error()
		}
		fmt.Println(answer)
	}
	for _, p := range links {
		p.Stop()
	}
}

func do(server *toxiproxy.ApiServer, links map[string]*toxiproxy.Proxy, line []byte) (string, error) {
	var c command
	if err := json.Unmarshal(line, &c); err != nil {
		return "", err
	}
	p := links[c.Link]
	if c.To != "" {
		p = toxiproxy.NewProxy(server, c.Link, "127.0.0.1:0", c.To)
		if err := p.Start(); err != nil {
			return "", err
		}
		links[c.Link] = p
		return p.Listen, nil
	}
	if p == nil {
		return "", fmt.Errorf("no link %q", c.Link)
	}
	if c.Remove != "" {
		return "ok", p.Toxics.RemoveToxic(context.Background(), c.Remove)
	}
	_, err := p.Toxics.AddToxicJson(bytes.NewReader(c.Toxic))
	return "ok", err
}

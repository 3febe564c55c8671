package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/roomcast/roomcast/internal/config"
	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/server/queueapi"
)

// remote is a running server, as its JSON API is reached.
type remote struct {
	server, tokenFile, data string
	patience                time.Duration // 0: for ever
}

func queueCommand() *cobra.Command {
	r := &remote{patience: time.Minute}
	cmd := &cobra.Command{
		Use:   "queue",
		Short: "Look into the queues of a running server, and move their messages",
		Long: "Queue talks to the JSON API of a running server's internal listener. With --data, the server's folder,\n" +
			"it finds address and token there. Else --server is the address, and the token is that of --token-file or\n" +
			"ROOMCAST_API_TOKEN.",
		Example: "  roomcast queue --data .data list\n" +
			"  roomcast queue --data .data publish thumbs '{\"n\":7}' --id up-7\n" +
			"  roomcast queue --data .data peek thumbs --state dead\n" +
			"  roomcast queue --data .data redrive thumbs --rate 10",
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&r.server, "server", "", "address of the internal listener (default: what the folder of --data says, or 127.0.0.1:9090)")
	flags.StringVar(&r.tokenFile, "token-file", "", "file with the token")
	flags.StringVar(&r.data, "data", "", "folder of the server's queues")
	cmd.AddCommand(r.list(), r.show(), r.peek(), r.publish(), r.redrive(), r.purge(), r.pause("pause", "Stop"), r.pause("resume", "Resume"), r.remove(), r.inbox())
	return cmd
}

// do makes a request and decodes the answer into v.
func (r *remote) do(ctx context.Context, method, path string, body, v any) error {
	token, err := r.secret()
	if err != nil {
		return usageError{err}
	}
	var sent io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(b)
	}
	server, err := r.address()
	if err != nil {
		return usageError{err}
	}
	if r.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.patience)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, method, server+"/api"+path, sent)
	if err != nil {
		return usageError{err}
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("%w; is the server running, and is this its internal listener? --server names another", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return err
	}
	var no queueapi.Refusal
	if err := json.Unmarshal(answer, &no); err != nil {
		return fmt.Errorf("%s has no JSON API: it answers %s; is it the internal listener, and has that server a token?", server, res.Status)
	}
	if !no.OK {
		return fmt.Errorf("%s: %s", no.Code, no.Message)
	}
	return json.Unmarshal(answer, v)
}

func (r *remote) secret() (string, error) {
	switch env := os.Getenv(config.EnvName("api-token")); {
	case r.tokenFile != "":
		return config.ReadSecret(r.tokenFile)
	case r.data != "":
		return config.ReadSecret(filepath.Join(r.data, "api-token"))
	case env != "":
		return env, nil
	}
	return "", errors.New("which token? Name the file with --token-file, or the server's folder with --data")
}

// address is the URL of the internal listener.
func (r *remote) address() (string, error) {
	at := r.server
	if at == "" && r.data != "" {
		b, err := os.ReadFile(filepath.Join(r.data, apiAddress))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		at = strings.TrimSpace(string(b))
	}
	if at = cmp.Or(at, "127.0.0.1:9090"); !strings.Contains(at, "://") {
		at = "http://" + at
	}
	u, err := url.Parse(at)
	switch {
	case err != nil:
		return "", fmt.Errorf("--server: %w", err)
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("--server: %s is no address; it is one like 127.0.0.1:9090 or https://node-1.internal", at)
	}
	return strings.TrimSuffix(at, "/"), nil
}

func queuePath(queue, rest string) string { return "/queues/" + url.PathEscape(queue) + rest }

func (r *remote) list() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the queues with their numbers", Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var a struct{ Queues []queueapi.Numbers }
			if err := r.do(cmd.Context(), "GET", "/queues", nil, &a); err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "QUEUE\tREADY\tLEASED\tSCHEDULED\tBLOCKED\tDEAD\tOLDEST\tPAUSED")
			for _, q := range a.Queues {
				fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\n", q.Queue, q.Ready, q.Leased, q.Scheduled, q.Blocked, q.Dead,
					age(time.Duration(q.OldestMs)*time.Millisecond), q.Paused)
			}
			return w.Flush()
		},
	}
}

func (r *remote) show() *cobra.Command {
	return &cobra.Command{
		Use: "show QUEUE", Short: "Show a queue's numbers and its configuration, as JSON", Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var a struct {
				queueapi.Numbers
				Config queueapi.Settings `json:"config"`
			}
			if err := r.do(cmd.Context(), "GET", queuePath(args[0], ""), nil, &a); err != nil {
				return err
			}
			return printJSON(cmd, a)
		},
	}
}

func (r *remote) inbox() *cobra.Command {
	return &cobra.Command{
		Use: "inbox INBOX", Short: "Show an inbox's numbers, as JSON: entries, bytes, owners, topics", Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var a queueapi.InboxNumbers
			if err := r.do(cmd.Context(), "GET", "/inboxes?"+url.Values{"inbox": {args[0]}}.Encode(), nil, &a); err != nil {
				return err
			}
			if a.Epoch == 0 {
				return fmt.Errorf("%s: there is no inbox %s", queues.CodeNotFound, args[0])
			}
			return printJSON(cmd, a)
		},
	}
}

func printJSON(cmd *cobra.Command, v any) error {
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func (r *remote) remove() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "delete QUEUE", Short: "Delete a queue with all that is in it, unless messages are being worked on", Args: usage(cobra.ExactArgs(1)),
		Long: "Delete deletes a queue with all that is in it, unless messages are being worked on. One that the settings of the\n" +
			"server declare is made again, empty, within seconds: take it out of them first.",
		RunE: func(cmd *cobra.Command, args []string) error {
			path := queuePath(args[0], "?force="+strconv.FormatBool(force))
			if err := r.do(cmd.Context(), "DELETE", path, nil, &struct{}{}); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is deleted\n", args[0])
			return nil
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also if messages are being worked on; their consumers are told")
	return cmd
}

// age is a duration to be read: tenths of a second matter for a minute only.
func age(d time.Duration) time.Duration {
	if d < time.Minute {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}

func (r *remote) peek() *cobra.Command {
	var state string
	var n, offset int
	cmd := &cobra.Command{
		Use: "peek QUEUE", Short: "Show messages, one JSON object on a line, without touching them", Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var a struct{ Messages []json.RawMessage }
			q := url.Values{"state": {state}, "n": {strconv.Itoa(n)}, "offset": {strconv.Itoa(offset)}}
			if err := r.do(cmd.Context(), "GET", queuePath(args[0], "/messages?"+q.Encode()), nil, &a); err != nil {
				return err
			}
			for _, m := range a.Messages {
				fmt.Fprintf(cmd.OutOrStdout(), "%s\n", m)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&state, "state", "ready", "ready, scheduled, leased, blocked or dead")
	cmd.Flags().IntVarP(&n, "number", "n", 10, "how many, at most 1000")
	cmd.Flags().IntVar(&offset, "offset", 0, "how many to leave out before them")
	return cmd
}

func (r *remote) publish() *cobra.Command {
	var d struct {
		ID       string          `json:"id,omitempty"`
		Key      string          `json:"key,omitempty"`
		Delay    int64           `json:"delay,omitempty"`
		TTL      int64           `json:"ttl,omitempty"`
		Priority int             `json:"priority,omitempty"`
		Data     json.RawMessage `json:"data"`
	}
	var delay, ttl time.Duration
	cmd := &cobra.Command{
		Use: "publish QUEUE [JSON]", Short: "Publish a message; without JSON it is read from standard input", Args: usage(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				d.Data = json.RawMessage(args[1])
			} else {
				b, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 8<<20))
				if err != nil {
					return err
				}
				d.Data = b
			}
			if !json.Valid(d.Data) {
				return usageError{errors.New("the message isn't JSON; text is in quotes: '\"hello\"'")}
			}
			d.Delay, d.TTL = delay.Milliseconds(), ttl.Milliseconds()
			var a struct {
				ID        string
				Seq       uint64
				Duplicate bool
			}
			if err := r.do(cmd.Context(), "POST", queuePath(args[0], "/messages"), d, &a); err != nil {
				return err
			}
			note := ""
			if a.Duplicate {
				note = ", which was there already"
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is number %d%s\n", a.ID, a.Seq, note)
			return nil
		},
	}
	cmd.Flags().StringVar(&d.ID, "id", "", "what the message is known by: it is stored once")
	cmd.Flags().StringVar(&d.Key, "key", "", "messages of one key are worked on in order")
	cmd.Flags().DurationVar(&delay, "delay", 0, "time until it is handed out, such as 90s")
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "time that it may wait; 0: as the queue says")
	cmd.Flags().IntVar(&d.Priority, "priority", 0, "0 to 3")
	return cmd
}

func (r *remote) redrive() *cobra.Command {
	in := struct {
		N    int      `json:"n"`
		IDs  []string `json:"ids,omitempty"`
		Rate float64  `json:"rate,omitempty"`
	}{}
	cmd := &cobra.Command{
		Use: "redrive QUEUE [ID...]", Short: "Make dead messages ready again: those named, or the oldest, all by default", Args: usage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.IDs = args[1:]
			if in.Rate > 0 {
				r.patience = 0 // it takes its time
			}
			return r.count(cmd, args[0], "/redrive", in, "ready again")
		},
	}
	cmd.Flags().IntVarP(&in.N, "number", "n", -1, "how many of the oldest; negative: all")
	cmd.Flags().Float64Var(&in.Rate, "rate", 0, "how many per second; 0: at once")
	return cmd
}

func (r *remote) purge() *cobra.Command {
	var in struct {
		Dead bool `json:"dead"`
	}
	cmd := &cobra.Command{
		Use: "purge QUEUE", Short: "Delete the messages that nobody is working on", Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return r.count(cmd, args[0], "/purge", in, "deleted") },
	}
	cmd.Flags().BoolVar(&in.Dead, "dead", false, "delete the dead messages instead")
	return cmd
}

// count makes a request that is answered with a number.
func (r *remote) count(cmd *cobra.Command, queue, path string, body any, done string) error {
	var a struct{ N int }
	if err := r.do(cmd.Context(), "POST", queuePath(queue, path), body, &a); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%d %s\n", a.N, done)
	return nil
}

func (r *remote) pause(verb, word string) *cobra.Command {
	var in struct { // neither: both
		Publish bool `json:"publish,omitempty"`
		Consume bool `json:"consume,omitempty"`
	}
	cmd := &cobra.Command{
		Use: verb + " QUEUE", Short: word + " publishing to a queue and hand-out from it", Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var q queueapi.Numbers
			if err := r.do(cmd.Context(), "POST", queuePath(args[0], "/"+verb), in, &struct{}{}); err != nil {
				return err
			}
			if err := r.do(cmd.Context(), "GET", queuePath(args[0], ""), nil, &q); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "paused: %s\n", cmp.Or(q.Paused, "nothing"))
			return nil
		},
	}
	cmd.Flags().BoolVar(&in.Publish, "publish", false, "publishing only")
	cmd.Flags().BoolVar(&in.Consume, "consume", false, "hand-out only")
	return cmd
}

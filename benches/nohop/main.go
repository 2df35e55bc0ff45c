// Command nohop answers one question: what does picking a backend inside the client cost, next to the same
// client that does not pick, and next to the same client through a proxy that picks for it?
//
// It keeps a number of requests going over keep-alive connections to three HTTP servers, in several modes:
//
//	direct        each worker takes the servers in turn, by a counter of its own; nothing picks
//	embedded      trimtab picks the server for each request, and is told how it went
//	haproxy-http  one HAProxy in front, which picks for each request
//	haproxy-tcp   one HAProxy in front, which picks for each connection
//	nginx         one nginx in front, which picks for each request
//	counter       one counter for all workers: the servers see the order that a pool gives, without a pool
//	pinned        each worker keeps to one server
//
// All modes run the same code but for the pick. Counter and embedded also send in the same order, so that what
// is between them is the pick; direct lets each worker go round by itself. With pinned a server that answers is sent its next request while it
// still runs, so processes wake each other less often. It shows what spreading requests costs as such.
//
// The modes take turns within a round, and the order moves on from round to round, so that what else the
// machine does falls on all alike. run.sh starts the servers and proxies and calls this.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	trimtab "github.com/trimtab/trimtab/bindings/go"
)

// mode is one way from the client to the servers.
type mode struct {
	name string
	// addresses are the servers, or the one proxy.
	addresses []string
	// pids are the proxy's processes, without their children.
	pids []int
	// pool picks among the addresses; nil where nothing does.
	pool *trimtab.Pool
	// turns, where it is there, is one counter for all workers: an order of requests like the pool's.
	turns *atomic.Uint64
	// isPinned is whether a worker keeps to the address it began with.
	isPinned bool
	// idle holds the connections nobody uses, for each address.
	idle []idle
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("nohop: ")
	connections := flag.Int("connections", 64, "requests kept going")
	rounds := flag.Int("rounds", 15, "rounds, each with all modes")
	duration := flag.Duration("duration", time.Second, "time for each mode in each round")
	policy := flag.String("policy", "round-robin", "policy of the embedded mode")
	backends := flag.String("backends", "", "addresses of the servers, by commas")
	backendPids := flag.String("backend-pids", "", "their process ids")
	proxies := flag.String("proxies", "", "name=address=pid of each proxy, by commas")
	output := flag.String("json", "", "also write the figures to this file")
	check := flag.Bool("check", false, "fail unless every server got its share")
	flag.Parse()

	servers := strings.Split(*backends, ",")
	pool, err := trimtab.NewPool(trimtab.PoolOptions{PolicyName: *policy})
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	for at, address := range servers {
		if _, err := pool.Add(trimtab.Backend{Address: address, Tag: uint64(at)}); err != nil {
			log.Fatal(err)
		}
	}
	modes := []*mode{
		{name: "direct", addresses: servers},
		{name: "counter", addresses: servers, turns: new(atomic.Uint64)},
		{name: "embedded", addresses: servers, pool: pool},
	}
	for _, proxy := range strings.FieldsFunc(*proxies, func(r rune) bool { return r == ',' }) {
		parts := strings.Split(proxy, "=")
		if len(parts) != 3 {
			log.Fatalf("-proxies: %q is not name=address=pid", proxy)
		}
		modes = append(modes, &mode{name: parts[0], addresses: parts[1:2], pids: numbers(parts[2])})
	}
	modes = append(modes, &mode{name: "pinned", addresses: servers, isPinned: true})
	for _, mode := range modes {
		mode.idle = make([]idle, len(mode.addresses))
		// Opens the connections and warms caches.
		if _, err := mode.run(*connections, *duration/4, len(servers)); err != nil {
			log.Fatalf("%s: %v", mode.name, err)
		}
	}

	results := make([][]result, len(modes))
	for round := range *rounds {
		for turn := range modes {
			at := (round + turn) % len(modes)
			mode := modes[at]
			before, beforeServers := processorTime(mode.pids), processorTime(numbers(*backendPids))
			result, err := mode.run(*connections, *duration, len(servers))
			if err != nil {
				log.Fatalf("%s: %v", mode.name, err)
			}
			result.proxy = processorTime(mode.pids) - before
			result.servers = processorTime(numbers(*backendPids)) - beforeServers
			results[at] = append(results[at], result)
		}
		fmt.Fprintf(os.Stderr, "round %d of %d done\n", round+1, *rounds)
	}

	summaries := summarize(modes, results)
	fmt.Printf("%d requests kept going to %d servers; %d rounds of %v for each mode; policy %s; trimtab %s\n\n",
		*connections, len(servers), *rounds, *duration, *policy, trimtab.Version())
	fmt.Print(table(summaries))
	if *output != "" {
		text, err := json.MarshalIndent(summaries, "", "  ")
		if err == nil {
			err = os.WriteFile(*output, append(text, '\n'), 0o644)
		}
		if err != nil {
			log.Fatal(err)
		}
	}
	statistics, err := pool.Statistics()
	if err != nil {
		log.Fatal(err)
	}
	if statistics.InFlight != 0 {
		log.Fatalf("%d picks were not reported done", statistics.InFlight)
	}
	if *check {
		if err := checkShares(summaries, len(servers)); err != nil {
			log.Fatal(err)
		}
	}
}

func numbers(text string) []int {
	var all []int
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == '+' }) {
		number, err := strconv.Atoi(part)
		if err != nil {
			log.Fatalf("%q is not a process id", part)
		}
		all = append(all, number)
	}
	return all
}

// checkShares fails when a server got far less or more than its part. Who picks for each request comes out
// even; who picks once for each connection gives each server its connections, and how fast those are is up to
// the scheduler.
func checkShares(summaries []summary, servers int) error {
	even := 1 / float64(servers)
	for _, summary := range summaries {
		slack := 0.9 * even
		switch summary.Mode {
		case "direct", "counter", "embedded", "haproxy-http", "nginx":
			slack = 0.05 * even
		}
		for server, share := range summary.Shares {
			if share < even-slack || share > even+slack {
				return fmt.Errorf("%s: server %d got %.3f of the requests, expected %.3f within %.3f", summary.Mode, server, share, even, slack)
			}
		}
	}
	return nil
}

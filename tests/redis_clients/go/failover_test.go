package clients

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// patience is for a machine that has much else to do.
const patience = time.Minute

// cluster is three nodes, each a process, which keep their addresses. They pass no writes on, so clients have to find
// the primary. One with a split has a learner too, the last, with a listener that splits reads from writes.
type cluster struct {
	folder       string
	links, resps []string
	split        string
	commands     []*exec.Cmd
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	free := freeAddresses(6)
	return startNodes(t, &cluster{links: free[:3], resps: free[3:]})
}

func startSplit(t *testing.T) *cluster {
	t.Helper()
	free := freeAddresses(8)
	return startNodes(t, &cluster{links: free[:3], resps: free[3:7], split: free[7]})
}

func startNodes(t *testing.T, c *cluster) *cluster {
	t.Helper()
	c.folder, c.commands = t.TempDir(), make([]*exec.Cmd, len(c.resps))
	for at := range c.commands {
		c.start(t, at)
	}
	t.Cleanup(func() {
		for at, command := range c.commands {
			if command != nil {
				c.kill(t, at)
			}
		}
	})
	c.allVote(t)
	return c
}

// allVote waits for that: a node that comes after the first election is taken in without a vote, and has it later. Each says
// so of itself.
func (c *cluster) allVote(t *testing.T) {
	t.Helper()
	waiting := c.resps[:3]
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		client := redis.NewClient(&redis.Options{Addr: waiting[0], MaxRetries: -1})
		told, _ := client.Info(context.Background(), "replication").Result()
		client.Close()
		if strings.Contains(told, "voters_linked:3") {
			if waiting = waiting[1:]; len(waiting) == 0 {
				return
			}
		}
	}
	t.Fatal("not all nodes have a vote")
}

// freeAddresses gives addresses nobody listens on, below the range from which the system gives ports to clients.
func freeAddresses(count int) (addresses []string) {
	for len(addresses) < count {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000)))
		if err != nil {
			continue
		}
		defer listener.Close()
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses
}

func (c *cluster) start(t *testing.T, at int) {
	t.Helper()
	var peers []string
	for peer, address := range c.links {
		peers = append(peers, fmt.Sprintf("n%d = %q", peer, address))
	}
	more := ""
	if c.split != "" {
		more = "learners = [\"n3\"]\n"
	}
	if at == 3 {
		more += fmt.Sprintf("[[listener]]\nname = \"split\"\nbind = %q\nmode = \"resp-split\"\n", c.split)
	}
	file := filepath.Join(c.folder, fmt.Sprintf("n%d.toml", at))
	text := fmt.Sprintf("[runtime]\nworkers = 2\n[store]\ndir = %q\nnode = \"n%d\"\nresp = %q\npeers = { %s }\n"+
		"peer_tls = \"insecure-plaintext\"\nforward = false\n%s",
		filepath.Join(c.folder, fmt.Sprintf("n%d", at)), at, c.resps[at], strings.Join(peers, ", "), more)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	name := os.Getenv("TRIMTAB")
	if name == "" {
		name = "trimtab"
	}
	c.commands[at] = exec.Command(name, "run", "--json", file)
	if err := c.commands[at].Start(); err != nil {
		t.Fatal(err)
	}
}

// end ends one gracefully.
func (c *cluster) end(t *testing.T, at int) {
	t.Helper()
	if err := c.commands[at].Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.commands[at].Wait(); err != nil {
		t.Fatalf("it did not end gracefully: %v", err)
	}
	c.commands[at] = nil
}

// kill ends one as a crash does.
func (c *cluster) kill(t *testing.T, at int) {
	t.Helper()
	if err := c.commands[at].Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.commands[at].Wait()
	c.commands[at] = nil
}

// until waits for look to find what it looks for.
func until(t *testing.T, what string, look func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		err := look(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: waited in vain: %v", what, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// primary is the address of the primary that a node tells.
func primary(ctx context.Context, node *redis.SentinelClient) (string, error) {
	told, err := node.GetMasterAddrByName(ctx, "trimtab").Result()
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(told[0], told[1]), nil
}

func TestAFailoverIsFollowed(t *testing.T) {
	c := startCluster(t)
	client := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "trimtab", SentinelAddrs: c.resps})
	defer client.Close()
	reader := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: "trimtab", SentinelAddrs: c.resps, ReplicaOnly: true,
	})
	defer reader.Close()
	until(t, "a write", func(ctx context.Context) error { return client.Set(ctx, "key", 1, 0).Err() })
	until(t, "it on a replica", func(ctx context.Context) error {
		found, err := reader.Get(ctx, "key").Result()
		if err == nil && found != "1" {
			err = errors.New(found)
		}
		return err
	})

	var before string
	until(t, "the primary", func(ctx context.Context) (err error) {
		node := redis.NewSentinelClient(&redis.Options{Addr: c.resps[0]})
		defer node.Close()
		before, err = primary(ctx, node)
		return err
	})
	at := slices.Index(c.resps, before)
	other := redis.NewSentinelClient(&redis.Options{Addr: c.resps[(at+1)%3]})
	defer other.Close()
	news := other.Subscribe(t.Context(), "+switch-master")
	defer news.Close()
	if _, err := news.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}

	c.kill(t, at)
	// The same client goes on by itself.
	until(t, "a write behind it", func(ctx context.Context) error { return client.Incr(ctx, "number").Err() })
	if found, err := client.Get(t.Context(), "key").Result(); err != nil || found != "1" {
		t.Fatal(found, err)
	}
	var after string
	until(t, "another primary", func(ctx context.Context) (err error) {
		after, err = primary(ctx, other)
		if err == nil && after == before {
			err = errors.New("still the old one")
		}
		return err
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	told, err := news.ReceiveMessage(ctx)
	if err != nil {
		t.Fatal(err)
	}
	words := strings.NewReplacer(":", " ").Replace(before) + " " + strings.NewReplacer(":", " ").Replace(after)
	if told.Payload != "trimtab "+words {
		t.Fatalf("%q, and it was from %s to %s", told.Payload, before, after)
	}

	// The old one comes back, and is a replica.
	c.start(t, at)
	until(t, "it back", func(ctx context.Context) error {
		replicas, err := other.Replicas(ctx, "trimtab").Result()
		if err != nil {
			return err
		}
		for _, replica := range replicas {
			if replica["name"] == before && replica["flags"] == "slave" {
				return nil
			}
		}
		return fmt.Errorf("%v", replicas)
	})
	back := redis.NewClient(&redis.Options{Addr: before, MaxRetries: -1})
	defer back.Close()
	until(t, "all of it there", func(ctx context.Context) error { return back.Get(ctx, "number").Err() })
	if err := back.Set(t.Context(), "key", 2, 0).Err(); err == nil || !strings.HasPrefix(err.Error(), "READONLY ") {
		t.Fatal(err)
	}
}

func TestASwitchoverIsFollowed(t *testing.T) {
	c := startCluster(t)
	client := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "trimtab", SentinelAddrs: c.resps})
	defer client.Close()
	until(t, "a write", func(ctx context.Context) error { return client.Incr(ctx, "number").Err() })
	node := redis.NewSentinelClient(&redis.Options{Addr: c.resps[0]})
	defer node.Close()
	var before string
	until(t, "a switchover", func(ctx context.Context) (err error) {
		if before, err = primary(ctx, node); err != nil {
			return err
		}
		asked := redis.NewSentinelClient(&redis.Options{Addr: before})
		defer asked.Close()
		return asked.Failover(ctx, "trimtab").Err()
	})
	until(t, "another primary", func(ctx context.Context) error {
		after, err := primary(ctx, node)
		if err == nil && after == before {
			err = errors.New("still the old one")
		}
		return err
	})
	until(t, "a write behind it", func(ctx context.Context) error { return client.Incr(ctx, "number").Err() })
}

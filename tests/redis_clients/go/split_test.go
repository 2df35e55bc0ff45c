package clients

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// split runs a test in both protocols, with a client of a listener before three nodes that tries nothing again by itself.
func split(t *testing.T, test func(t *testing.T, ctx context.Context, c *cluster, client *redis.Client)) {
	for _, protocol := range []int{2, 3} {
		t.Run(fmt.Sprintf("RESP%d", protocol), func(t *testing.T) {
			c := startSplit(t)
			client := redis.NewClient(&redis.Options{
				Addr: c.split, Protocol: protocol, MaxRetries: -1, ReadTimeout: patience, DialerRetries: 1,
			})
			defer client.Close()
			until(t, "a write", func(ctx context.Context) error { return client.Set(ctx, "ready", 1, 0).Err() })
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			test(t, ctx, c, client)
		})
	}
}

func TestThroughASplitAClientReadsWhatItHasWritten(t *testing.T) {
	split(t, func(t *testing.T, ctx context.Context, _ *cluster, client *redis.Client) {
		// By one connection.
		conn := client.Conn()
		defer conn.Close()
		for at := range 300 {
			if err := conn.Set(ctx, "key", at, 0).Err(); err != nil {
				t.Fatal(err)
			}
			if got, err := conn.Get(ctx, "key").Int(); err != nil || got != at {
				t.Fatal(at, got, err)
			}
			if err := conn.HSet(ctx, "hash", "f", at).Err(); err != nil {
				t.Fatal(err)
			}
			if got, err := conn.HGet(ctx, "hash", "f").Int(); err != nil || got != at {
				t.Fatal(at, got, err)
			}
		}
	})
}

func TestThroughASplitPipelinesAnswerAllInOrder(t *testing.T) {
	split(t, func(t *testing.T, ctx context.Context, _ *cluster, client *redis.Client) {
		var sums []*redis.IntCmd
		var reads []*redis.StringCmd
		must[[]redis.Cmder](t)(client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for at := range 200 {
				sums = append(sums, pipe.Incr(ctx, "sum"))
				pipe.Set(ctx, fmt.Sprintf("key:%04d", at), at, 0)
				reads = append(reads, pipe.Get(ctx, "sum"))
			}
			return nil
		}))
		for at := range sums {
			if sums[at].Val() != int64(at+1) || reads[at].Val() != fmt.Sprint(at+1) {
				t.Fatal(at, sums[at].Val(), reads[at].Val())
			}
		}
		var keys []string
		each := client.Scan(ctx, 0, "key:*", 100).Iterator()
		for each.Next(ctx) {
			keys = append(keys, each.Val())
		}
		if err := each.Err(); err != nil || len(keys) != 200 {
			t.Error(len(keys), err)
		}

		var queued *redis.StringCmd
		must[[]redis.Cmder](t)(client.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.Set(ctx, "a", 1, 0)
			pipe.Incr(ctx, "a")
			queued = pipe.Get(ctx, "a")
			return nil
		}))
		if queued.Val() != "2" {
			t.Error(queued)
		}
		add := func(tx *redis.Tx) error {
			number, err := tx.Get(ctx, "a").Int()
			if err != nil {
				return err
			}
			_, err = tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
				pipe.Set(ctx, "a", number+1, 0)
				return nil
			})
			return err
		}
		if err := client.Watch(ctx, add, "a"); err != nil {
			t.Error(err)
		}
		refused := client.Watch(ctx, func(tx *redis.Tx) error {
			client.Set(ctx, "a", 7, 0)
			return add(tx)
		}, "a")
		if refused != redis.TxFailedErr {
			t.Error(refused)
		}
		if got := must[string](t)(client.Get(ctx, "a").Result()); got != "7" {
			t.Error(got)
		}
	})
}

func TestThroughASplitChannelsAreHeard(t *testing.T) {
	split(t, func(t *testing.T, ctx context.Context, _ *cluster, client *redis.Client) {
		channel := client.Subscribe(ctx, "news")
		defer channel.Close()
		must[any](t)(channel.Receive(ctx))
		if got := must[int64](t)(client.Publish(ctx, "news", "first").Result()); got != 1 {
			t.Error(got)
		}
		if got := must[*redis.Message](t)(channel.ReceiveMessage(ctx)); got.Payload != "first" {
			t.Error(got)
		}
	})
}

// writing is a client that writes rising numbers and reads them, by one connection, until it is told to stop.
type writing struct {
	acknowledged atomic.Int64
	errors       []error
	isOver       chan struct{}
	over         chan error
}

func write(ctx context.Context, client *redis.Client) *writing {
	w := &writing{isOver: make(chan struct{}), over: make(chan error, 1)}
	conn := client.Conn()
	go func() {
		defer conn.Close()
		w.over <- w.run(ctx, conn)
	}()
	return w
}

func (w *writing) run(ctx context.Context, conn *redis.Conn) error {
	for number := int64(1); ; number++ {
		select {
		case <-w.isOver:
			return nil
		default:
		}
		switch err := conn.Set(ctx, "n", number, 0).Err(); {
		case err == nil:
			w.acknowledged.Store(number)
		case isReply(err):
			w.errors = append(w.errors, err)
		default:
			return err
		}
		found, err := conn.Get(ctx, "n").Int64()
		if least := w.acknowledged.Load(); err != nil || found < least || found > number {
			return fmt.Errorf("it reads %d, and %d was acknowledged, %d written: %w", found, least, number, err)
		}
	}
}

func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

func (w *writing) goesOn(t *testing.T) {
	t.Helper()
	for floor := w.acknowledged.Load() + 50; w.acknowledged.Load() < floor; {
		select {
		case err := <-w.over:
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
}

func (w *writing) end(t *testing.T) []error {
	t.Helper()
	close(w.isOver)
	if err := <-w.over; err != nil {
		t.Fatal(err)
	}
	return w.errors
}

func TestThroughASplitAKilledPrimaryCostsOneRetryAtMost(t *testing.T) {
	split(t, func(t *testing.T, ctx context.Context, c *cluster, client *redis.Client) {
		w := write(ctx, client)
		w.goesOn(t)
		at := -1
		for node, address := range c.resps[:3] {
			one := redis.NewClient(&redis.Options{Addr: address})
			if role, err := one.Do(ctx, "ROLE").Slice(); err == nil && role[0] == "master" {
				at = node
			}
			one.Close()
		}
		if at < 0 {
			t.Fatal("nobody is primary")
		}
		c.kill(t, at)
		w.goesOn(t)
		told := w.end(t)
		for _, err := range told {
			if !strings.HasPrefix(err.Error(), "INDOUBT ") && !strings.HasPrefix(err.Error(), "UNKNOWN ") {
				t.Error(err)
			}
		}
		if len(told) > 1 {
			t.Error(told)
		}
	})
}

func TestThroughASplitNodesThatAreRestartedInTurnFailNoWrite(t *testing.T) {
	split(t, func(t *testing.T, ctx context.Context, c *cluster, client *redis.Client) {
		w := write(ctx, client)
		for at := range 3 {
			w.goesOn(t)
			c.end(t, at)
			w.goesOn(t)
			c.start(t, at)
			back := redis.NewClient(&redis.Options{Addr: c.resps[at]})
			defer back.Close()
			// It has to be there before the next one goes, or most of them are away.
			until(t, "it in the cluster again", func(ctx context.Context) error { return back.Get(ctx, "ready").Err() })
		}
		w.goesOn(t)
		if told := w.end(t); len(told) > 0 {
			t.Error(told)
		}
	})
}

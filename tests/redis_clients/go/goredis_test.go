// Package clients is what programs do with go-redis, in both protocols.
package clients

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// After this long nothing will come any more, and the test fails.
const deadline = 30 * time.Second

// both runs a test in both protocols, each with a server and a client of its own.
func both(t *testing.T, lines string, test func(t *testing.T, ctx context.Context, s *served, client *redis.Client)) {
	for _, protocol := range []int{2, 3} {
		t.Run(fmt.Sprintf("RESP%d", protocol), func(t *testing.T) {
			s := serve(t, lines)
			client := redis.NewClient(&redis.Options{Addr: s.address, Protocol: protocol, ReadTimeout: deadline})
			defer client.Close()
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			test(t, ctx, s, client)
		})
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func TestStringsHashesLifetimesAndScans(t *testing.T) {
	both(t, `durability = "memory"`, func(t *testing.T, ctx context.Context, s *served, client *redis.Client) {
		text, number, is := must[string](t), must[int64](t), must[bool](t)
		if got := text(client.Set(ctx, "text", "x", 0).Result()); got != "OK" {
			t.Error(got)
		}
		if got := text(client.Get(ctx, "text").Result()); got != "x" {
			t.Error(got)
		}
		if err := client.Get(ctx, "none").Err(); err != redis.Nil {
			t.Error(err)
		}
		if is(client.SetNX(ctx, "text", "y", time.Minute).Result()) {
			t.Error("it is there")
		}
		if got := number(client.IncrBy(ctx, "n", 41).Result()); got != 41 {
			t.Error(got)
		}
		if got := must[float64](t)(client.IncrByFloat(ctx, "float", 0.5).Result()); got != 0.5 {
			t.Error(got)
		}
		if got := must[[]any](t)(client.MGet(ctx, "text", "none", "n").Result()); fmt.Sprint(got) != "[x <nil> 41]" {
			t.Error(got)
		}

		type Person struct {
			Name string `redis:"name"`
			Age  int    `redis:"age"`
		}
		if got := number(client.HSet(ctx, "hash", Person{"x", 40}).Result()); got != 2 {
			t.Error(got)
		}
		if got := number(client.HIncrBy(ctx, "hash", "age", 2).Result()); got != 42 {
			t.Error(got)
		}
		var person Person
		if err := client.HGetAll(ctx, "hash").Scan(&person); err != nil || person != (Person{"x", 42}) {
			t.Error(person, err)
		}
		if got := must[[]string](t)(client.HKeys(ctx, "hash").Result()); !slices.Equal(got, []string{"name", "age"}) {
			t.Error(got)
		}
		if err := client.Incr(ctx, "hash").Err(); !redis.HasErrorPrefix(err, "WRONGTYPE") {
			t.Error(err)
		}

		if !is(client.Expire(ctx, "hash", time.Minute).Result()) {
			t.Error("it is there")
		}
		if got := must[time.Duration](t)(client.TTL(ctx, "hash").Result()); got <= 0 || got > time.Minute {
			t.Error(got)
		}
		if !is(client.Persist(ctx, "hash").Result()) {
			t.Error("it had a lifetime")
		}
		if got := must[time.Duration](t)(client.PTTL(ctx, "hash").Result()); got != -1 {
			t.Error(got)
		}

		pipeline := client.Pipeline()
		for at := range 1500 {
			pipeline.Set(ctx, fmt.Sprintf("key:%04d", at), at, 0)
		}
		must[[]redis.Cmder](t)(pipeline.Exec(ctx))
		var keys []string
		each := client.Scan(ctx, 0, "key:*", 100).Iterator()
		for each.Next(ctx) {
			keys = append(keys, each.Val())
		}
		if err := each.Err(); err != nil || len(keys) != 1500 || keys[0] != "key:0000" || keys[1499] != "key:1499" {
			t.Error(len(keys), err)
		}
		if got := number(client.Del(ctx, keys...).Result()); got != 1500 {
			t.Error(got)
		}
		if got := number(client.DBSize(ctx).Result()); got != 4 {
			t.Error(got)
		}
	})
}

func TestPipelinesAnswerAllInOrder(t *testing.T) {
	both(t, `durability = "memory"`, func(t *testing.T, ctx context.Context, s *served, client *redis.Client) {
		var sums []*redis.IntCmd
		must[[]redis.Cmder](t)(client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for range 200 {
				sums = append(sums, pipe.Incr(ctx, "sum"))
				pipe.HSet(ctx, "hash", "field", "value")
			}
			return nil
		}))
		for at, sum := range sums {
			if sum.Val() != int64(at+1) {
				t.Fatal(at, sum.Val())
			}
		}
		var queued *redis.StringCmd
		done := must[[]redis.Cmder](t)(client.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.Set(ctx, "a", 1, 0)
			pipe.Incr(ctx, "a")
			queued = pipe.Get(ctx, "a")
			return nil
		}))
		if len(done) != 3 || queued.Val() != "2" {
			t.Error(done)
		}
		failed, err := client.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.Incr(ctx, "hash")
			pipe.Set(ctx, "b", 1, 0)
			return nil
		})
		if !redis.HasErrorPrefix(err, "WRONGTYPE") || failed[1].Err() != nil {
			t.Error(failed, err)
		}
	})
}

func TestWhoWatchesAndTriesAgainLosesNothing(t *testing.T) {
	both(t, `durability = "memory"`, func(t *testing.T, ctx context.Context, s *served, client *redis.Client) {
		add := func(tx *redis.Tx) error {
			number, err := tx.Get(ctx, "n").Int()
			if err != nil && err != redis.Nil {
				return err
			}
			_, err = tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
				pipe.Set(ctx, "n", number+1, 0)
				pipe.HIncrBy(ctx, "h", "n", 1)
				return nil
			})
			return err
		}
		var writers sync.WaitGroup
		var again atomic.Int64
		for range 8 {
			writers.Go(func() {
				for range 40 {
					var err error = redis.TxFailedErr
					for err == redis.TxFailedErr {
						err = client.Watch(ctx, add, "n")
						again.Add(1)
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		writers.Wait()
		plain, field := client.Get(ctx, "n").Val(), client.HGet(ctx, "h", "n").Val()
		if plain != "320" || field != "320" {
			t.Errorf("%s and %s after %d attempts", plain, field, again.Load())
		}
		refused := client.Watch(ctx, func(tx *redis.Tx) error {
			client.Set(ctx, "n", 7, 0)
			return add(tx)
		}, "n")
		if refused != redis.TxFailedErr {
			t.Error(refused)
		}
	})
}

func TestChannelsAndWhatHappensToKeys(t *testing.T) {
	both(t, `durability = "memory"`, func(t *testing.T, ctx context.Context, s *served, client *redis.Client) {
		channel := client.Subscribe(ctx, "news")
		defer channel.Close()
		must[any](t)(channel.Receive(ctx))
		if err := channel.PSubscribe(ctx, "__keyevent@0__:*"); err != nil {
			t.Fatal(err)
		}
		must[any](t)(channel.Receive(ctx))
		must[string](t)(client.ConfigSet(ctx, "notify-keyspace-events", "KEA").Result())
		if got := must[int64](t)(client.Publish(ctx, "news", "first").Result()); got != 1 {
			t.Error(got)
		}
		messages := channel.Channel()
		if got := <-messages; got.Channel != "news" || got.Payload != "first" {
			t.Error(got)
		}
		client.Set(ctx, "brief", 1, 20*time.Millisecond)
		for _, event := range []string{"set", "expired"} {
			select {
			case got := <-messages:
				if got.Channel != "__keyevent@0__:"+event || got.Payload != "brief" {
					t.Error(got)
				}
			case <-ctx.Done():
				t.Fatal("waited in vain for", event)
			}
		}
	})
}

// What a context ends is told as its end, and the connection is not used for another's answer.
func TestContextsEndWhatTheyAreGivenTo(t *testing.T) {
	s := serve(t, "")
	client := redis.NewClient(&redis.Options{Addr: s.address, ContextTimeoutEnabled: true, ReadTimeout: deadline})
	defer client.Close()
	for at := range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		// WAIT for a replica that does not come.
		err := client.Do(ctx, "WAIT", 1, 0).Err()
		cancel()
		var timeout net.Error
		if !errors.Is(err, context.DeadlineExceeded) && !(errors.As(err, &timeout) && timeout.Timeout()) {
			t.Fatal(err)
		}
		text := strconv.Itoa(at)
		if got := client.Echo(t.Context(), text).Val(); got != text {
			t.Fatal(got)
		}
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if err := client.Set(done, "a", 1, 0).Err(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got := client.Exists(t.Context(), "a").Val(); got != 0 {
		t.Error(got)
	}
}

func TestWhoTriesAgainGoesOnAfterAKill(t *testing.T) {
	both(t, "", func(t *testing.T, _ context.Context, s *served, _ *redis.Client) {
		// It may be long: TRIMTAB_SERVER_ROUNDS has the server killed so often.
		ctx := t.Context()
		client := redis.NewClient(&redis.Options{
			Addr: s.address, MaxRetries: 2000, MinRetryBackoff: 5 * time.Millisecond, MaxRetryBackoff: 20 * time.Millisecond,
		})
		defer client.Close()
		var written atomic.Int64
		isOver := make(chan struct{})
		over := make(chan error, 1)
		go func() {
			for {
				select {
				case <-isOver:
					over <- nil
					return
				default:
				}
				if err := client.Set(ctx, "n", written.Load()+1, 0).Err(); err != nil {
					over <- err
					return
				}
				written.Add(1)
			}
		}()
		until := func(number int64) {
			for written.Load() < number {
				select {
				case err := <-over:
					t.Fatal(err)
				case <-time.After(time.Millisecond):
				}
			}
		}
		until(20)
		rounds := 1
		if text, ok := os.LookupEnv("TRIMTAB_SERVER_ROUNDS"); ok {
			rounds = must[int](t)(strconv.Atoi(text))
		}
		for range rounds {
			s.kill(t)
			before := written.Load()
			s.start(t)
			if found := must[int64](t)(client.Get(ctx, "n").Int64()); found < before {
				t.Errorf("%d is there, and %d was acknowledged", found, before)
			}
			until(before + 20)
		}
		close(isOver)
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
}

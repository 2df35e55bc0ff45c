package trimtab

import (
	"fmt"
	"testing"
	"time"
)

var policies = []Policy{
	RoundRobin, Static, First, Random, LeastConnections, PowerOfTwo, PeakEWMA, Fastest, Observed, Predictive,
	Source, Hash,
}

// BenchmarkPickDone: what one request pays, a pick and its done, with a hundred backends. The goal is 150 ns.
func BenchmarkPickDone(b *testing.B) {
	for _, policy := range policies {
		b.Run(policy.String(), func(b *testing.B) {
			pool := benchmarkPool(b, PoolOptions{Policy: policy}, 100)
			key := []byte("10.0")
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				pickDone(b, pool, key)
			}
		})
	}
}

// BenchmarkPickDoneParallel: the same on all cores at once.
func BenchmarkPickDoneParallel(b *testing.B) {
	for _, policy := range policies {
		b.Run(policy.String(), func(b *testing.B) {
			pool := benchmarkPool(b, PoolOptions{Policy: policy}, 100)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(each *testing.PB) {
				key := []byte("10.0")
				for each.Next() {
					pickDone(b, pool, key)
				}
			})
		})
	}
}

// BenchmarkPickDoneBackends: whether the number of backends matters.
func BenchmarkPickDoneBackends(b *testing.B) {
	for _, backends := range []int{3, 100, 10_000} {
		b.Run(fmt.Sprint(backends), func(b *testing.B) {
			pool := benchmarkPool(b, PoolOptions{}, backends)
			b.ResetTimer()
			for range b.N {
				pickDone(b, pool, nil)
			}
		})
	}
}

// BenchmarkCrossing: what calling C costs at all, to tell apart from what is done there.
func BenchmarkCrossing(b *testing.B) {
	for range b.N {
		ABIVersion()
	}
}

func benchmarkPool(b *testing.B, options PoolOptions, backends int) *Pool {
	b.Helper()
	pool, err := NewPool(options)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { pool.Close() })
	if _, err := pool.AddAll(manyBackends(backends)); err != nil {
		b.Fatal(err)
	}
	return pool
}

func pickDone(b *testing.B, pool *Pool, key []byte) {
	pick, err := pool.Pick(key)
	if err != nil {
		b.Fatal(err)
	}
	if err := pool.Done(pick, Success, Timings{Total: time.Millisecond}); err != nil {
		b.Fatal(err)
	}
}

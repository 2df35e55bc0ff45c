package trimtab

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const benchmarkKeys = 10_000

// benchmarkStore has so many keys with values of 100 bytes.
func benchmarkStore(b *testing.B) (*Store, [][]byte) {
	b.Helper()
	store := openStore(b, StoreOptions{})
	value := make([]byte, 100)
	keys := make([][]byte, benchmarkKeys)
	var puts []Operation
	for at := range keys {
		keys[at] = fmt.Appendf(nil, "key/%06d", at)
		puts = append(puts, OpPut(keys[at], value))
	}
	if _, err := store.Batch(bg, puts); err != nil {
		b.Fatal(err)
	}
	return store, keys
}

// BenchmarkStoreGet: what reading a key costs, beside a Go map under a lock for readers, which holds nothing on disk.
func BenchmarkStoreGet(b *testing.B) {
	store, keys := benchmarkStore(b)
	held := map[string][]byte{}
	for _, key := range keys {
		held[string(key)] = make([]byte, 100)
	}
	var mutex sync.RWMutex
	get := map[string]func(key []byte, room []byte){
		"get": func(key, _ []byte) {
			if _, err := store.Get(bg, key); err != nil {
				b.Fatal(err)
			}
		},
		"append": func(key, room []byte) {
			if _, _, err := store.GetAppend(bg, room, key); err != nil {
				b.Fatal(err)
			}
		},
		"map": func(key, room []byte) {
			mutex.RLock()
			copy(room[:100], held[string(key)])
			mutex.RUnlock()
		},
	}
	for _, how := range []string{"get", "append", "map"} {
		b.Run(how, func(b *testing.B) {
			room := make([]byte, 0, 128)
			b.ReportAllocs()
			for at := range b.N {
				get[how](keys[at%benchmarkKeys], room)
			}
		})
		b.Run(how+"-parallel", func(b *testing.B) {
			b.RunParallel(func(each *testing.PB) {
				room := make([]byte, 0, 128)
				for at := 0; each.Next(); at++ {
					get[how](keys[at%benchmarkKeys], room)
				}
			})
		})
	}
}

// BenchmarkStoreScan: what each key of a range costs.
func BenchmarkStoreScan(b *testing.B) {
	store, _ := benchmarkStore(b)
	b.ReportAllocs()
	b.ResetTimer()
	for at := 0; at < b.N; {
		for _, err := range store.All(bg, AllKeys()) {
			if err != nil {
				b.Fatal(err)
			}
			if at++; at == b.N {
				break
			}
		}
	}
}

// BenchmarkStorePut: what a write costs, in memory and on disk, by so many goroutines. Only those on disk tell of the
// disk; the more there are the more share a sync.
func BenchmarkStorePut(b *testing.B) {
	for _, durability := range []Durability{DurabilityMemory, DurabilityLocal} {
		for _, goroutines := range []int{1, 64, 1024} {
			b.Run(fmt.Sprintf("%v-%d", durability, goroutines), func(b *testing.B) {
				store, keys := benchmarkStore(b)
				value := make([]byte, 100)
				var next atomic.Int64
				var group sync.WaitGroup
				b.ReportAllocs()
				b.ResetTimer()
				for range goroutines {
					group.Add(1)
					go func() {
						defer group.Done()
						for at := next.Add(1); at <= int64(b.N); at = next.Add(1) {
							if _, err := store.Put(bg, keys[at%benchmarkKeys], value, WithDurability(durability)); err != nil {
								b.Error(err)
								return
							}
						}
					}()
				}
				group.Wait()
			})
		}
	}
}

// BenchmarkStoreBatch: what each of a thousand writes that are submitted together costs.
func BenchmarkStoreBatch(b *testing.B) {
	store, keys := benchmarkStore(b)
	value := make([]byte, 100)
	var puts []Operation
	for at := range 1000 {
		puts = append(puts, OpPut(keys[at], value))
	}
	for _, durability := range []Durability{DurabilityMemory, DurabilityLocal} {
		b.Run(durability.String(), func(b *testing.B) {
			for left := b.N; left > 0; {
				count := min(left, len(puts))
				if _, err := store.Batch(bg, puts[:count], WithDurability(durability)); err != nil {
					b.Fatal(err)
				}
				left -= count
			}
		})
	}
}

// BenchmarkStoreWatch: how many changes a watch tells, of those that are kept already.
func BenchmarkStoreWatch(b *testing.B) {
	store, _ := benchmarkStore(b)
	b.ReportAllocs()
	b.ResetTimer()
	for at := 0; at < b.N; {
		watch, err := store.Watch(bg, AllKeys(), 1)
		if err != nil {
			b.Fatal(err)
		}
		told := 0
		for _, err := range watch.Changes(bg) {
			if err != nil {
				b.Fatal(err)
			}
			at++
			if told++; told == benchmarkKeys || at == b.N {
				break
			}
		}
		watch.Close()
	}
}

// BenchmarkClusterGet: what reading a key costs in a cluster, where there is nothing to wait for.
func BenchmarkClusterGet(b *testing.B) {
	options := smallStore()
	options.Cluster = &ClusterOptions{
		Node:              "a",
		Members:           []Member{{Name: "a", Address: freeAddress()}},
		InsecurePlaintext: PlaintextLoopback,
		MessageBytes:      16 << 10,
	}
	store := openStore(b, options)
	key := []byte("key/000000")
	if _, err := store.Put(bg, key, make([]byte, 100)); err != nil {
		b.Fatal(err)
	}
	for _, level := range []struct {
		name    string
		options []CallOption
	}{
		{"primary", nil},
		{"local", []CallOption{WithReadLevel(ReadLocal)}},
		{"replica", []CallOption{WithAgeMax(time.Minute)}},
	} {
		get := func() {
			if _, err := store.Get(bg, key, level.options...); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(level.name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				get()
			}
		})
		b.Run(level.name+"-parallel", func(b *testing.B) {
			b.RunParallel(func(each *testing.PB) {
				for each.Next() {
					get()
				}
			})
		})
	}
}

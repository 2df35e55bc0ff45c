// Command store keeps things in a directory: a counter that survives crashes, a change under a condition, a
// transaction, a lease, and what changed. Run it again with the same directory and it goes on.
//
//	go run ./store [DIRECTORY]
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"sync"
	"time"

	trimtab "github.com/trimtab/trimtab/bindings/go"
)

func main() {
	log.SetFlags(0)
	directory, err := "", error(nil)
	if len(os.Args) > 1 {
		directory = os.Args[1]
	} else {
		if directory, err = os.MkdirTemp("", "trimtab-store"); err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(directory)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, directory); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, directory string) (err error) {
	store, err := trimtab.OpenStore(directory, trimtab.StoreOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	// Follow what comes, from now on.
	watch, err := store.Watch(ctx, trimtab.Prefix([]byte("stock/")), 0)
	if err != nil {
		return err
	}
	defer watch.Close()

	// On disk before it is answered.
	counted, err := store.Increment(ctx, []byte("runs"), 1)
	if err != nil {
		return err
	}
	fmt.Printf("run %d, on %v\n", counted.Number, counted.Durability)

	// Only if nobody was faster.
	put, err := store.Put(ctx, []byte("stock/apples"), []byte("3"))
	if err != nil {
		return err
	}
	set, err := store.CompareAndSet(ctx, []byte("stock/apples"), put.Version, []byte("2"))
	if err != nil {
		return err
	}
	fmt.Println("compare and set:", set.Done)

	// Two changes, seen together or not at all.
	moved, err := store.Commit(ctx, trimtab.Txn{
		If: []trimtab.Comparison{trimtab.CompareValue([]byte("stock/apples"), trimtab.RelationNotEqual, []byte("0"))},
		Then: []trimtab.Operation{
			trimtab.OpIncrement([]byte("stock/apples"), -1),
			trimtab.OpPut([]byte("stock/sold"), []byte("1")),
		},
	})
	if err != nil {
		return err
	}
	fmt.Println("moved:", moved.Done, "left:", moved.Steps[0].Number)

	// Many at once: they share a sync, and none of them holds a thread.
	var visitors sync.WaitGroup
	for visitor := range 1000 {
		visitors.Add(1)
		go func() {
			defer visitors.Done()
			if _, err := store.Put(ctx, fmt.Appendf(nil, "visitor/%03d", visitor), nil, trimtab.WithTTL(time.Hour)); err != nil {
				log.Print(err)
			}
		}()
	}
	visitors.Wait()
	count, err := store.Count(ctx, trimtab.Prefix([]byte("visitor/")))
	if err != nil {
		return err
	}
	fmt.Println("visitors:", count)

	// What changed: two changes by themselves, and the two of the transaction together.
	for change, err := range watch.Changes(ctx) {
		if err != nil {
			return err
		}
		fmt.Printf("%v %s=%s\n", change.Kind, change.Key, change.Value)
		if string(change.Key) == "stock/sold" {
			return nil
		}
	}
	return nil
}

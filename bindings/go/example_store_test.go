package trimtab_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	trimtab "github.com/trimtab/trimtab/bindings/go"
)

// exampleStore opens a store in a directory that ends with it.
func exampleStore() (*trimtab.Store, func()) {
	path, err := os.MkdirTemp("", "store")
	if err != nil {
		log.Fatal(err)
	}
	store, err := trimtab.OpenStore(path, trimtab.StoreOptions{})
	if err != nil {
		log.Fatal(err)
	}
	return store, func() {
		if err := store.Close(); err != nil {
			log.Print(err)
		}
		os.RemoveAll(path)
	}
}

func ExampleOpenStore() {
	path, err := os.MkdirTemp("", "store")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(path)
	ctx := context.Background()

	store, err := trimtab.OpenStore(path, trimtab.StoreOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	result, err := store.Put(ctx, []byte("name"), []byte("trim"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("on", result.Durability)
	value, err := store.Get(ctx, []byte("name"))
	fmt.Printf("%s %v\n", value, err)
	_, err = store.Get(ctx, []byte("nothing"))
	fmt.Println(errors.Is(err, trimtab.ErrNotFound))
	// Output:
	// on local
	// trim <nil>
	// true
}

func ExampleStore_CompareAndSet() {
	store, end := exampleStore()
	defer end()
	ctx := context.Background()

	store.Put(ctx, []byte("price"), []byte("10"))
	entry, err := store.GetEntry(ctx, []byte("price"))
	if err != nil {
		log.Fatal(err)
	}
	store.Put(ctx, []byte("price"), []byte("11")) // by somebody else, meanwhile
	result, err := store.CompareAndSet(ctx, []byte("price"), entry.Version, []byte("20"))
	fmt.Println(result.Done, err)
	// Output: false <nil>
}

func ExampleStore_Commit() {
	store, end := exampleStore()
	defer end()
	ctx := context.Background()

	store.Put(ctx, []byte("from"), []byte("100"))
	done, err := store.Commit(ctx, trimtab.Txn{
		If: []trimtab.Comparison{trimtab.CompareValue([]byte("from"), trimtab.RelationEqual, []byte("100"))},
		Then: []trimtab.Operation{
			trimtab.OpIncrement([]byte("from"), -30),
			trimtab.OpIncrement([]byte("to"), 30),
		},
		Else: []trimtab.Operation{trimtab.OpGet([]byte("from"))},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(done.Done, done.Steps[0].Number, done.Steps[1].Number)
	// Output: true 70 30
}

func ExampleStore_All() {
	store, end := exampleStore()
	defer end()
	ctx := context.Background()

	store.Batch(ctx, []trimtab.Operation{
		trimtab.OpPut([]byte("user/ann"), []byte("1")),
		trimtab.OpPut([]byte("user/bob"), []byte("2")),
		trimtab.OpPut([]byte("visits"), []byte("7")),
	})
	for entry, err := range store.All(ctx, trimtab.Prefix([]byte("user/")), trimtab.WithReverse()) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s=%s\n", entry.Key, entry.Value)
	}
	// Output:
	// user/bob=2
	// user/ann=1
}

func ExampleStore_Watch() {
	store, end := exampleStore()
	defer end()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	watch, err := store.Watch(ctx, trimtab.AllKeys(), 0)
	if err != nil {
		log.Fatal(err)
	}
	defer watch.Close()
	store.Put(ctx, []byte("a"), []byte("1"))
	store.Delete(ctx, []byte("a"))
	for change, err := range watch.Changes(ctx) {
		if err != nil {
			log.Fatal(err) // errors.Is(err, trimtab.ErrCompacted): read the range in a Scan, and watch on from there
		}
		fmt.Printf("%v %s\n", change.Kind, change.Key)
		if change.Kind == trimtab.ChangeDeleted {
			break
		}
	}
	// Output:
	// put a
	// deleted a
}

func ExampleStore_KeepAlive() {
	store, end := exampleStore()
	defer end()
	ctx, cancel := context.WithCancel(context.Background())

	lease := trimtab.NewLeaseID()
	if _, err := store.LeaseGrant(ctx, lease, 10*time.Second); err != nil {
		log.Fatal(err)
	}
	kept := make(chan error)
	go func() { kept <- store.KeepAlive(ctx, lease) }()
	result, err := store.Put(ctx, []byte("leader"), []byte("me"), trimtab.IfAbsent(), trimtab.WithLease(lease))
	fmt.Println(result.Done, err)
	cancel()
	fmt.Println(<-kept)
	// Output:
	// true <nil>
	// context canceled
}

func ExampleWithRequest() {
	store, end := exampleStore()
	defer end()
	client := trimtab.NewClientID()

	request := trimtab.WithRequest(trimtab.Request{Client: client, Number: 1})
	for range 2 { // as after an ErrOutcomeUnknown
		result, err := store.Increment(context.Background(), []byte("visits"), 1, request)
		fmt.Println(result.Number, result.Repeated, err)
	}
	// Output:
	// 1 false <nil>
	// 1 true <nil>
}

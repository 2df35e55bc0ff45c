// Command first_pick asks a pool for a backend and reports how it went.
package main

import (
	"fmt"
	"time"

	trimtab "github.com/trimtab/trimtab/bindings/go"
)

func main() {
	pool := must(trimtab.NewPool(trimtab.PoolOptions{Policy: trimtab.LeastConnections}))
	defer pool.Close()
	must(pool.Add(trimtab.Backend{Address: "10.0.0.1:8080"}))
	must(pool.Add(trimtab.Backend{Address: "10.0.0.2:8080", Weight: 2}))

	pick := must(pool.Pick(nil))
	fmt.Println("connect to", pick.Address)
	must(0, pool.Done(pick, trimtab.Success, trimtab.Timings{Total: 3 * time.Millisecond}))
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

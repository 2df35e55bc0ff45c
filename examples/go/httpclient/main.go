// Command httpclient is an http.Client that picks a backend for each request. It starts three small servers
// of its own on the loopback interface, and names a fourth where nothing listens: requests that are sent
// there go on to another one, and the client never sees an error.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	trimtab "github.com/trimtab/trimtab/bindings/go"
)

func main() {
	log.SetFlags(0)
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	pool, err := trimtab.NewPool(trimtab.PoolOptions{Policy: trimtab.LeastConnections})
	if err != nil {
		return err
	}
	defer pool.Close()
	for range 3 {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err == nil {
				_, err = fmt.Fprintf(w, "%s %s%s: %s", r.Method, r.Host, r.URL.Path, body)
			}
			if err != nil {
				log.Print(err)
			}
		}))
		defer server.Close()
		if _, err := pool.Add(trimtab.Backend{Address: server.Listener.Addr().String()}); err != nil {
			return err
		}
	}
	dead, err := addressOfNobody()
	if err != nil {
		return err
	}
	if _, err := pool.Add(trimtab.Backend{Address: dead, Name: "nobody"}); err != nil {
		return err
	}

	client := &http.Client{Transport: &transport{pool: pool, next: &http.Transport{}}, Timeout: 10 * time.Second}
	const requests = 100
	for request := range requests {
		// The name stands for the pool; which backend answers is the transport's business.
		url := fmt.Sprintf("http://orders.internal/order/%d", request)
		response, err := client.Post(url, "text/plain", strings.NewReader("two apples"))
		if err != nil {
			return err
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if want := fmt.Sprintf("POST orders.internal/order/%d: two apples", request); err != nil || string(body) != want {
			return fmt.Errorf("got %q (%v), expected %q", body, err, want)
		}
	}

	backends, err := pool.Backends()
	if err != nil {
		return err
	}
	var succeeded uint64
	for _, backend := range backends {
		fmt.Printf("%-16s %3d picks, %3d answered in %v on average, %3d not reached\n", backend.Name,
			backend.Picks, backend.Success, backend.ResponseMean.Round(time.Microsecond), backend.ConnectFailed)
		succeeded += backend.Success
		if backend.InFlight != 0 {
			return fmt.Errorf("%s: %d picks were not reported done", backend.Name, backend.InFlight)
		}
	}
	if succeeded != requests {
		return fmt.Errorf("%d of %d requests were answered", succeeded, requests)
	}
	return nil
}

// addressOfNobody is an address where nothing listens: that of a listener which is closed again.
func addressOfNobody() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

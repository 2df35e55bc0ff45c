// Command relay balances three small HTTP servers of its own behind one address, on threads of trimtab's. It
// sends requests through it, drains one server and adds a fourth meanwhile, and no client sees an error. Then
// it stops gracefully, as it does on SIGINT and SIGTERM.
//
//	relay           ends by itself after the requests
//	relay -serve    sends none, and serves until it is told to stop
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os/signal"
	"strings"
	"syscall"
	"time"

	trimtab "github.com/trimtab/trimtab/bindings/go"
)

func main() {
	log.SetFlags(0)
	serve := flag.Bool("serve", false, "serve until SIGINT or SIGTERM")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, *serve); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, serve bool) error {
	var config strings.Builder
	config.WriteString(`
[[listener]]
name = "web"
bind = "127.0.0.1:0"
pool = "app"
timeouts = { drain = "10s" }

[[pool]]
name = "app"
policy = "least-connections"
`)
	for _, name := range []string{"app-01", "app-02", "app-03"} {
		backend := startBackend(name)
		defer backend.Close()
		fmt.Fprintf(&config, "[[pool.backend]]\nname = %q\naddress = %q\n", name, backend.Listener.Addr())
	}

	server, err := trimtab.NewServer(trimtab.ServerOptions{
		Config:  config.String(),
		Source:  "relay.toml",
		OnEvent: func(event trimtab.Event) { fmt.Println(event) },
	})
	if err != nil {
		return err
	}
	defer server.Close()
	if err := server.Start(); err != nil {
		return err
	}

	if serve {
		<-ctx.Done()
	} else if err := demo(ctx, server); err != nil && ctx.Err() == nil {
		return err
	}

	// The listener closes at once; sessions get as long as the configuration says.
	if err := server.Drain(); err != nil {
		return err
	}
	late, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return server.Wait(late)
}

// demo sends requests from several clients while backends come and go.
func demo(ctx context.Context, server *trimtab.Server) error {
	const clients, requests = 4, 100
	address, err := server.Address("web")
	if err != nil {
		return err
	}
	pool, err := server.Pool("app")
	if err != nil {
		return err
	}
	defer pool.Close()

	half := make(chan struct{}, clients)
	done := make(chan error, clients)
	for range clients {
		go func() {
			done <- func() error {
				// A session for each request, so that each is balanced.
				client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
				for request := range requests {
					if request == requests/2 {
						half <- struct{}{}
					}
					if err := order(ctx, client, address.String(), request); err != nil {
						return err
					}
				}
				return nil
			}()
		}()
	}

	// Two clients are half way through.
	for range 2 {
		select {
		case <-half:
		case err := <-done:
			return fmt.Errorf("a client ended early: %w", err)
		}
	}
	drained, err := pool.Find("app-01")
	if err != nil {
		return err
	}
	if err := pool.SetAdmin(drained, trimtab.AdminDrain); err != nil {
		return err
	}
	added := startBackend("app-04")
	defer added.Close()
	if _, err := pool.Add(trimtab.Backend{Name: "app-04", Address: added.Listener.Addr().String()}); err != nil {
		return err
	}

	for range clients {
		if err := <-done; err != nil {
			return err
		}
	}
	backends, err := pool.Backends()
	if err != nil {
		return err
	}
	var picks uint64
	for _, backend := range backends {
		fmt.Printf("%s: %d sessions\n", backend.Name, backend.Picks)
		picks += backend.Picks
	}
	if picks != clients*requests {
		return fmt.Errorf("%d sessions for %d requests", picks, clients*requests)
	}
	return nil
}

func order(ctx context.Context, client *http.Client, address string, number int) error {
	url := fmt.Sprintf("http://%s/order/%d", address, number)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("two apples"))
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if want := fmt.Sprintf("/order/%d: two apples", number); err == nil && string(body) != want {
		return fmt.Errorf("got %q, expected %q", body, want)
	}
	return err
}

// startBackend stands for a server on another machine.
func startBackend(name string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			_, err = fmt.Fprintf(w, "%s: %s", r.URL.Path, body)
		}
		if err != nil {
			log.Printf("%s: %v", name, err)
		}
	}))
}

// Command hosted relays without a thread of trimtab's: one goroutine turns the server whenever Go's poller
// says that there is something to do, and parks in between. Clients and the two servers behind it are
// goroutines of the same program. It looks for such threads, and ends by itself when the clients have, or
// gracefully on SIGINT and SIGTERM.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	trimtab "github.com/trimtab/trimtab/bindings/go"
)

func main() {
	log.SetFlags(0)
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	config := "[[listener]]\nname = \"echo\"\nbind = \"127.0.0.1:0\"\npool = \"echoes\"\n\n[[pool]]\nname = \"echoes\"\n"
	for range 2 {
		backend, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer backend.Close()
		go echo(backend)
		config += fmt.Sprintf("[[pool.backend]]\naddress = %q\n", backend.Addr())
	}
	server, err := trimtab.NewServer(trimtab.ServerOptions{Config: config})
	if err != nil {
		return err
	}
	defer server.Close()
	if err := server.StartHosted(); err != nil {
		return err
	}
	address, err := server.Address("echo")
	if err != nil {
		return err
	}

	const clients, words = 20, 50
	visited := make(chan error, 1)
	go func() {
		err := visitAll(clients, words, address)
		if err == nil {
			err = noThreads()
		}
		// From another goroutine: the one that turns is woken for it.
		visited <- errors.Join(err, server.Drain())
	}()
	turns, err := drive(ctx, server)
	if err != nil {
		return err
	}
	if err := <-visited; err != nil && ctx.Err() == nil {
		return err
	}
	statistics, err := server.Statistics()
	if err != nil {
		return err
	}
	fmt.Printf("%d sessions, %d bytes there and %d back, in %d turns and no thread of trimtab's\n",
		statistics.Accepted, statistics.BytesToBackends, statistics.BytesToClients, turns)
	return nil
}

// drive turns the server until it has ended, which it does gracefully when ctx is done.
func drive(ctx context.Context, server *trimtab.Server) (int, error) {
	turns := 0
	for server.State() != trimtab.ServerStopped {
		err := server.WaitTurn(ctx)
		if errors.Is(err, context.Canceled) {
			err, ctx = server.Drain(), context.Background()
		}
		if err != nil {
			return turns, err
		}
		if _, err := server.Turn(); err != nil {
			return turns, err
		}
		turns++
	}
	return turns, nil
}

func visitAll(clients, words int, address net.Addr) error {
	errs := make([]error, clients)
	var all sync.WaitGroup
	for at := range errs {
		all.Add(1)
		go func() {
			defer all.Done()
			errs[at] = visit(words, address)
		}()
	}
	all.Wait()
	return errors.Join(errs...)
}

// visit says words and hears each before the next.
func visit(words int, address net.Addr) error {
	conn, err := net.Dial(address.Network(), address.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	for word := range words {
		said := fmt.Sprintf("word %d", word)
		if _, err := io.WriteString(conn, said); err != nil {
			return err
		}
		heard := make([]byte, len(said))
		if _, err := io.ReadFull(conn, heard); err != nil {
			return err
		}
		if string(heard) != said {
			return fmt.Errorf("heard %q, said %q", heard, said)
		}
	}
	return nil
}

// echo stands for a server on another machine.
func echo(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			io.Copy(conn, conn)
		}()
	}
}

// noThreads looks for threads of trimtab's, which have its name.
func noThreads() error {
	names, err := filepath.Glob("/proc/self/task/*/comm")
	if err != nil || len(names) == 0 {
		return fmt.Errorf("no threads in /proc: %w", err)
	}
	for _, name := range names {
		// One that is gone since is none.
		comm, err := os.ReadFile(name)
		if err == nil && strings.HasPrefix(string(comm), "trimtab/") {
			return fmt.Errorf("there is a thread %s", strings.TrimSpace(string(comm)))
		}
	}
	return nil
}

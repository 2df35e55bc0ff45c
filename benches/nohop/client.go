package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	trimtab "github.com/trimtab/trimtab/bindings/go"
)

// The request, and what every server answers but for its own digit.
const (
	request = "GET / HTTP/1.1\r\nHost: nohop\r\n\r\n"
	body    = "hello from server "
)

// connection is one keep-alive connection. Its answers all have the same length, learnt from the first.
type connection struct {
	net    net.Conn
	answer []byte
}

// idle is the connections to one address that nobody uses, the last used on top.
type idle struct {
	mutex       sync.Mutex
	connections []*connection
}

func (i *idle) take() *connection {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	last := len(i.connections) - 1
	if last < 0 {
		return nil
	}
	taken := i.connections[last]
	i.connections = i.connections[:last]
	return taken
}

func (i *idle) give(connection *connection) {
	i.mutex.Lock()
	i.connections = append(i.connections, connection)
	i.mutex.Unlock()
}

// result is one mode in one round.
type result struct {
	requests  uint64
	elapsed   time.Duration
	latencies histogram
	// shares is requests by the server that answered.
	shares []uint64
	// Processor time, in seconds.
	client, proxy, servers float64
}

// run keeps so many requests going for so long.
func (m *mode) run(workers int, duration time.Duration, servers int) (result, error) {
	// No connection can make the run hang.
	deadline := time.Now().Add(duration + 10*time.Second)
	for at := range m.idle {
		for _, connection := range m.idle[at].connections {
			if err := connection.net.SetDeadline(deadline); err != nil {
				return result{}, err
			}
		}
	}
	results := make([]result, workers)
	failures := make([]error, workers)
	before := processorTime([]int{self})
	start := time.Now()
	var all sync.WaitGroup
	for worker := range workers {
		results[worker].shares = make([]uint64, servers)
		all.Add(1)
		go func() {
			defer all.Done()
			failures[worker] = m.work(worker, start.Add(duration), deadline, &results[worker])
		}()
	}
	all.Wait()
	total := result{elapsed: time.Since(start), shares: make([]uint64, servers)}
	total.client = processorTime([]int{self}) - before
	for worker := range results {
		total.requests += results[worker].requests
		total.latencies.add(&results[worker].latencies)
		for server, count := range results[worker].shares {
			total.shares[server] += count
		}
	}
	return total, errors.Join(failures...)
}

// work sends one request after another until the time is over.
func (m *mode) work(worker int, end, deadline time.Time, into *result) error {
	at := worker % len(m.addresses)
	var pick trimtab.Pick
	var err error
	start := time.Now()
	for start.Before(end) {
		if m.pool != nil {
			if pick, err = m.pool.Pick(nil); err != nil {
				return err
			}
			at = int(pick.Tag)
		} else if m.turns != nil {
			at = int(m.turns.Add(1) % uint64(len(m.addresses)))
		} else if !m.isPinned {
			at = (at + 1) % len(m.addresses)
		}
		server, err := m.exchange(at, deadline)
		if err != nil {
			return err
		}
		now := time.Now()
		took := now.Sub(start)
		if m.pool != nil {
			if err = m.pool.Done(pick, trimtab.Success, trimtab.Timings{Total: took}); err != nil {
				return err
			}
		}
		if server >= len(into.shares) {
			return fmt.Errorf("there is no server %d", server)
		}
		into.requests++
		into.shares[server]++
		into.latencies.record(took)
		start = now
	}
	return nil
}

// exchange sends one request and checks its answer; gives the server it came from.
func (m *mode) exchange(at int, deadline time.Time) (int, error) {
	connection := m.idle[at].take()
	if connection == nil {
		var err error
		if connection, err = connect(m.addresses[at], deadline); err != nil {
			return 0, err
		}
	}
	if _, err := io.WriteString(connection.net, request); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(connection.net, connection.answer); err != nil {
		return 0, err
	}
	server, err := whose(connection.answer)
	if err != nil {
		return 0, err
	}
	m.idle[at].give(connection)
	return server, nil
}

// connect opens a connection and learns from a first exchange how long the answers are.
func connect(address string, deadline time.Time) (*connection, error) {
	opened, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return nil, err
	}
	if err := opened.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(opened, request); err != nil {
		return nil, err
	}
	const headMax = 4096
	var answer []byte
	head := -1
	for part := make([]byte, headMax); head < 0 && len(answer) < headMax; {
		count, err := opened.Read(part)
		if err != nil {
			return nil, err
		}
		answer = append(answer, part[:count]...)
		head = bytes.Index(answer, []byte("\r\n\r\n"))
	}
	if head < 0 {
		return nil, fmt.Errorf("%s: no end of the head within %d bytes", address, headMax)
	}
	length, err := contentLength(answer[:head])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	have := len(answer)
	answer = append(answer, make([]byte, max(0, head+4+length-have))...)
	if _, err := io.ReadFull(opened, answer[have:]); err != nil {
		return nil, err
	}
	if _, err := whose(answer); err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	return &connection{net: opened, answer: answer}, nil
}

func contentLength(head []byte) (int, error) {
	for _, line := range bytes.Split(head, []byte("\r\n")) {
		name, value, found := bytes.Cut(line, []byte(":"))
		if found && bytes.EqualFold(name, []byte("content-length")) {
			length, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 16)
			return int(length), err
		}
	}
	return 0, errors.New("the answer has no content-length")
}

// whose checks an answer and reads from it which server gave it.
func whose(answer []byte) (int, error) {
	const status, digits = "HTTP/1.1 200 ", len("0\n")
	text := len(answer) - digits - len(body)
	if text < len(status) || string(answer[:len(status)]) != status || string(answer[text:len(answer)-digits]) != body {
		return 0, fmt.Errorf("not the answer expected: %q", answer)
	}
	digit := answer[len(answer)-digits]
	if digit < '0' || digit > '9' || answer[len(answer)-1] != '\n' {
		return 0, fmt.Errorf("not the answer expected: %q", answer)
	}
	return int(digit - '0'), nil
}

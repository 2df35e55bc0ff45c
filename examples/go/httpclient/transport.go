package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	trimtab "github.com/trimtab/trimtab/bindings/go"
)

// transport is an http.RoundTripper that asks a pool for the backend of each request. A backend that cannot
// be reached is reported, and the request goes to another one: at most attemptsMax in all, and only while
// its body can be sent again.
type transport struct {
	pool *trimtab.Pool
	next http.RoundTripper
}

const attemptsMax = 3

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	var tried []trimtab.BackendID
	for {
		pick, err := t.pool.PickAvoiding([]byte(request.URL.Path), tried...)
		if err != nil {
			return nil, err
		}
		response, err := t.attempt(request, pick)
		tried = append(tried, pick.Backend)
		if err == nil || outcomeOf(err) != trimtab.ConnectFailed || len(tried) == attemptsMax {
			return response, err
		}
		// A transport may have closed the body even of a request that was never sent.
		if request.Body != nil && request.Body != http.NoBody {
			if request.GetBody == nil {
				return response, err
			}
			body, bodyErr := request.GetBody()
			if bodyErr != nil {
				return nil, bodyErr
			}
			request = request.Clone(request.Context())
			request.Body = body
		}
	}
}

// attempt sends the request to the backend picked, and sees to it that the pick is reported done exactly
// once: now if there is no response, else when its body was read or closed.
func (t *transport) attempt(request *http.Request, pick trimtab.Pick) (*http.Response, error) {
	start := time.Now()
	var timings trimtab.Timings
	trace := &httptrace.ClientTrace{
		GotConn:              func(httptrace.GotConnInfo) { timings.Connect = time.Since(start) },
		GotFirstResponseByte: func() { timings.FirstByte = time.Since(start) },
	}
	sent := request.Clone(httptrace.WithClientTrace(request.Context(), trace))
	sent.URL.Host = pick.AddressString()
	if sent.Host == "" {
		sent.Host = request.URL.Host
	}
	response, err := t.next.RoundTrip(sent)
	if err != nil {
		// What was traced may still change: a connection that comes too late.
		t.pool.Done(pick, outcomeOf(err), trimtab.Timings{Total: time.Since(start)})
		return nil, err
	}
	outcome := trimtab.Success
	if response.StatusCode >= 500 {
		outcome = trimtab.Failed
	}
	response.Body = &reportingBody{ReadCloser: response.Body, done: func(err error) {
		if err != nil {
			outcome = outcomeOf(err)
		}
		timings.Total = time.Since(start)
		t.pool.Done(pick, outcome, timings)
	}}
	return response, nil
}

// outcomeOf is what an error says about the backend.
func outcomeOf(err error) trimtab.Outcome {
	var operation *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		return trimtab.Cancelled
	case errors.As(err, &operation) && operation.Op == "dial":
		return trimtab.ConnectFailed
	case errors.Is(err, context.DeadlineExceeded):
		return trimtab.TimedOut
	default:
		return trimtab.Failed
	}
}

// reportingBody calls done when it has been read to its end, has failed or is closed.
type reportingBody struct {
	io.ReadCloser
	once sync.Once
	done func(error)
}

func (b *reportingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.once.Do(func() { b.done(nil) })
	} else if err != nil {
		b.once.Do(func() { b.done(err) })
	}
	return n, err
}

func (b *reportingBody) Close() error {
	b.once.Do(func() { b.done(nil) })
	return b.ReadCloser.Close()
}

package main

import (
	"testing"
	"time"
)

func TestBucketsHoldTheirValues(t *testing.T) {
	for _, nanos := range []uint64{0, 1, 31, 32, 33, 63, 64, 65, 1000, 12_345, 1 << 20, 1<<40 + 12_345, 1<<62 + 1} {
		at := bucket(nanos)
		if nanos > upper(at) || at > 0 && nanos <= upper(at-1) {
			t.Errorf("%d is in bucket %d, which ends at %d", nanos, at, upper(at))
		}
		if nanos > 0 && float64(upper(at)) > float64(nanos)*(1+1.0/parts) {
			t.Errorf("bucket %d of %d ends as late as %d", at, nanos, upper(at))
		}
	}
}

func TestQuantiles(t *testing.T) {
	var h histogram
	for micros := range 1000 {
		h.record(time.Duration(micros+1) * time.Microsecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 500 * time.Microsecond, 0.99: 990 * time.Microsecond} {
		got := h.quantile(q)
		if got < want || got > want+want/20 {
			t.Errorf("quantile %v is %v, expected about %v", q, got, want)
		}
	}
}

func TestAnswersAreChecked(t *testing.T) {
	good := "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + body + "2\n"
	if server, err := whose([]byte(good)); err != nil || server != 2 {
		t.Errorf("%d, %v", server, err)
	}
	for _, bad := range []string{"", "HTTP/1.1 502 Bad Gateway\r\n\r\n" + body + "2\n", good + "x", good[:len(good)-1], "HTTP/1.1 200 OK\r\n\r\n" + body + "x\n"} {
		if _, err := whose([]byte(bad)); err == nil {
			t.Errorf("%q passed", bad)
		}
	}
}

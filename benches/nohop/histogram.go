package main

import (
	"math/bits"
	"time"
)

// histogram counts latencies in buckets that are at most 1/32 wide: each power of two of nanoseconds is cut
// into 32 equal parts.
type histogram struct {
	counts [64 * parts]uint64
	total  uint64
}

const parts, partBits = 32, 5

func (h *histogram) record(latency time.Duration) {
	h.counts[bucket(uint64(max(latency, 0)))]++
	h.total++
}

func (h *histogram) add(other *histogram) {
	for at, count := range other.counts {
		h.counts[at] += count
	}
	h.total += other.total
}

// quantile gives the upper end of the bucket that the quantile falls into.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.total))
	var seen uint64
	for at, count := range h.counts {
		seen += count
		if seen > rank {
			return time.Duration(upper(at))
		}
	}
	return 0
}

func bucket(nanos uint64) int {
	if nanos < parts {
		return int(nanos)
	}
	shift := bits.Len64(nanos) - 1 - partBits
	return (shift+1)*parts + int(nanos>>shift) - parts
}

func upper(bucket int) uint64 {
	if bucket < parts {
		return uint64(bucket)
	}
	shift := bucket/parts - 1
	return (uint64(bucket%parts+parts+1) << shift) - 1
}

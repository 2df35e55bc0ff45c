package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// figure is the median of a figure over the rounds, and its range.
type figure struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// summary is one mode over all rounds.
type summary struct {
	Mode     string `json:"mode"`
	Requests figure `json:"requests_per_second"`
	// Ratio is requests per second over those of direct in the same round.
	Ratio figure `json:"ratio_to_direct"`
	P50   figure `json:"p50_us"`
	P99   figure `json:"p99_us"`
	// Processor time in microseconds for each request.
	Client  figure    `json:"client_cpu_us_per_request"`
	Proxy   figure    `json:"proxy_cpu_us_per_request"`
	Servers figure    `json:"servers_cpu_us_per_request"`
	Shares  []float64 `json:"shares"`
}

// summarize takes the first mode as the one to compare with.
func summarize(modes []*mode, results [][]result) []summary {
	rate := func(r result) float64 { return float64(r.requests) / r.elapsed.Seconds() }
	summaries := make([]summary, len(modes))
	for at, mode := range modes {
		over := func(of func(round int, r result) float64) figure {
			values := make([]float64, len(results[at]))
			for round, result := range results[at] {
				values[round] = of(round, result)
			}
			return figureOf(values)
		}
		perRequest := func(seconds func(result) float64) figure {
			return over(func(_ int, r result) float64 { return seconds(r) * 1e6 / float64(r.requests) })
		}
		var all uint64
		shares := make([]float64, len(results[at][0].shares))
		for _, result := range results[at] {
			all += result.requests
			for server, count := range result.shares {
				shares[server] += float64(count)
			}
		}
		for server := range shares {
			shares[server] /= float64(all)
		}
		summaries[at] = summary{
			Mode:     mode.name,
			Requests: over(func(_ int, r result) float64 { return rate(r) }),
			Ratio:    over(func(round int, r result) float64 { return rate(r) / rate(results[0][round]) }),
			P50:      over(func(_ int, r result) float64 { return float64(r.latencies.quantile(0.5)) / 1e3 }),
			P99:      over(func(_ int, r result) float64 { return float64(r.latencies.quantile(0.99)) / 1e3 }),
			Client:   perRequest(func(r result) float64 { return r.client }),
			Proxy:    perRequest(func(r result) float64 { return r.proxy }),
			Servers:  perRequest(func(r result) float64 { return r.servers }),
			Shares:   shares,
		}
	}
	return summaries
}

func figureOf(values []float64) figure {
	slices.Sort(values)
	middle := len(values) / 2
	median := values[middle]
	if len(values)%2 == 0 {
		median = (values[middle-1] + values[middle]) / 2
	}
	return figure{Median: median, Min: values[0], Max: values[len(values)-1]}
}

// table is for reading: medians, and the range over the rounds in brackets.
func table(summaries []summary) string {
	var text strings.Builder
	lines := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(lines, "mode\trequests/s\tratio to direct\tp50 us\tp99 us\tclient CPU us\tproxy CPU us\tserver CPU us\tshares")
	for _, s := range summaries {
		fmt.Fprintf(lines, "%s\t%.0f (%.0f..%.0f)\t%.3f (%.3f..%.3f)\t%.0f\t%.0f\t%.1f\t%.1f\t%.1f\t%.3f\n",
			s.Mode, s.Requests.Median, s.Requests.Min, s.Requests.Max, s.Ratio.Median, s.Ratio.Min, s.Ratio.Max,
			s.P50.Median, s.P99.Median, s.Client.Median, s.Proxy.Median, s.Servers.Median, s.Shares)
	}
	lines.Flush()
	return text.String()
}

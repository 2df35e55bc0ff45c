package main

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

var self = os.Getpid()

// processorTime is what these processes and their children used so far, in seconds, from /proc. What has
// ended meanwhile counts nothing.
func processorTime(pids []int) float64 {
	// USER_HZ, which is 100 on every Linux that has a /proc.
	const ticksPerSecond = 100
	var ticks uint64
	for _, pid := range pids {
		ticks += processTicks(pid)
		if pid == self {
			continue
		}
		children, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/task/" + strconv.Itoa(pid) + "/children")
		if err != nil {
			continue
		}
		for _, child := range strings.Fields(string(children)) {
			if pid, err := strconv.Atoi(child); err == nil {
				ticks += processTicks(pid)
			}
		}
	}
	return float64(ticks) / ticksPerSecond
}

// processTicks is user and system time of all threads of a process.
func processTicks(pid int) uint64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// The name, in brackets, may hold blanks. After it the third field of the line comes first.
	_, after, _ := bytes.Cut(text[bytes.LastIndexByte(text, ')')+1:], []byte(" "))
	fields := bytes.Fields(after)
	const user, system = 14 - 3, 15 - 3
	if len(fields) <= system {
		return 0
	}
	var ticks uint64
	for _, field := range [][]byte{fields[user], fields[system]} {
		value, err := strconv.ParseUint(string(field), 10, 64)
		if err != nil {
			return 0
		}
		ticks += value
	}
	return ticks
}

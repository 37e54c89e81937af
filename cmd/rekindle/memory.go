package main

import (
	"bytes"
	"io/fs"
	"math"
	"strconv"
	"strings"
)

// memoryLimit is how much memory the Go runtime should try to stay below, in
// bytes: nine tenths of what this process may have, which is the least of the
// machine's and its control group's. The embedded NATS server keeps blocks of its
// store in memory for a while, and without a limit the collector would let twice
// as much of them stand. Root is the root of the file system; 0 means that nothing
// is known.
func memoryLimit(root fs.FS) int64 {
	least := machineMemory(root)
	for _, name := range []string{
		"sys/fs/cgroup/memory.max",                   // version 2; "max" for none
		"sys/fs/cgroup/memory/memory.limit_in_bytes", // version 1; a huge number for none
	} {
		body, err := fs.ReadFile(root, name)
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(string(bytes.TrimSpace(body)), 10, 64)
		if err == nil && n > 0 {
			least = min(least, n)
		}
	}
	if least == math.MaxInt64 {
		return 0
	}
	return least / 10 * 9
}

// machineMemory is the memory of the machine, or the largest number there is.
func machineMemory(root fs.FS) int64 {
	body, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return math.MaxInt64
	}
	for line := range strings.Lines(string(body)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "MemTotal:" {
			continue
		}
		kb, err := strconv.ParseInt(fields[1], 10, 64)
		if err == nil && kb > 0 && kb < math.MaxInt64>>10 {
			return kb << 10
		}
	}
	return math.MaxInt64
}

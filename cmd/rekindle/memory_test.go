package main

import (
	"testing"
	"testing/fstest"
)

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	const meminfo, v1, v2 = "proc/meminfo", "sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/memory.max"
	machine := "MemTotal:        1000 kB\nMemFree:          500 kB\n"
	tests := []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"nothing known", nil, 0},
		{"the machine's", map[string]string{meminfo: machine}, 921_600},
		{"a container's", map[string]string{meminfo: machine, v2: "102400\n"}, 92_160},
		{"a container without a limit", map[string]string{meminfo: machine, v2: "max\n"}, 921_600},
		{"version 1", map[string]string{meminfo: machine, v1: "102400\n"}, 92_160},
		{"version 1 without a limit", map[string]string{meminfo: machine, v1: "9223372036854771712\n"}, 921_600},
		{"a container on an unknown machine", map[string]string{v2: "102400"}, 92_160},
		{"nonsense", map[string]string{meminfo: "MemTotal: much\nMemTotal:\n", v2: "-1", v1: ""}, 0},
		{"more than there can be", map[string]string{meminfo: "MemTotal: 9223372036854775807 kB\n"}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := fstest.MapFS{}
			for name, body := range tt.files {
				root[name] = &fstest.MapFile{Data: []byte(body)}
			}
			if got := memoryLimit(root); got != tt.want {
				t.Errorf("%d bytes, want %d", got, tt.want)
			}
		})
	}
}

package main

import "time"

// herd is a cell's million secrets, each refreshed every four hours, after an hour
// in which none was.
type herd struct {
	name   string
	rate   float64       // refreshes a second that the cell makes; 0 for no limit
	jitter time.Duration // by which a refresh may be early
}

// rounds is how many waves are looked at: the return, and its echoes.
const rounds = 3

// peaks returns the most refreshes in a second, of each round.
func (h herd) peaks(seed uint64) (most [rounds]int) {
	w := newWorld(seed)
	round := int(longWindow / time.Second)
	due := make([]int, (rounds+2)*round) // by the second
	for range cellSize {
		due[w.IntN(round)]++
	}
	waiting := 0
	for second := range rounds * round {
		waiting += due[second]
		if second < int(time.Hour/time.Second) {
			continue
		}
		made := waiting
		if h.rate > 0 {
			made = min(made, int(h.rate))
		}
		waiting -= made
		most[second/round] = max(most[second/round], made)
		for range made {
			early := 0
			if h.jitter > 0 {
				early = w.IntN(int(h.jitter / time.Second))
			}
			due[second+round-early]++
		}
	}
	return most
}

func stampedes() []herd {
	const capacity = r3Writes / stateWrites
	return []herd{
		{name: "nothing"},
		{name: "what the cell can do", rate: capacity},
		{name: "the same, and jitter of a tenth", rate: capacity, jitter: longWindow / 10},
	}
}

// herds is how an hour's standstill comes back, round after round.
func herds(seed uint64) table {
	t := table{name: "herds", head: []string{"limited by", "most in a second, at the return", "four hours later", "eight hours later"}}
	for _, h := range stampedes() {
		most := h.peaks(seed)
		t.add(h.name, count(most[0]), count(most[1]), count(most[2]))
	}
	return t
}

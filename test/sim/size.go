package main

import (
	"math"
	"slices"
	"time"
)

// size is what a fleet of cells asks of each.
type size struct {
	cells     int
	refreshes float64       // a second
	busy      float64       // of what the state's stream can write
	index     float64       // bytes of the scheduler
	stored    float64       // bytes of one replica of the state
	mirrored  float64       // bytes a second to another region
	restart   time.Duration // to build the index anew
	drain     time.Duration // of what an hour's standstill has left
}

func sizeOf(secrets float64) size {
	rate, capacity := perSecond(secrets), r3Writes/stateWrites
	s := size{
		cells: int(math.Ceil(fleet / secrets)), refreshes: rate, busy: rate / capacity,
		index: secrets * indexEntry, stored: secrets * records * recordSize,
		mirrored: rate * stateWrites * recordSize,
		restart:  time.Duration(secrets / 1e6 * float64(indexReplay)),
	}
	// A secret of the short window is due once in the hour, not twice.
	overdue := secrets * (shortShare + longShare*time.Hour.Seconds()/longWindow.Seconds())
	if capacity > rate {
		s.drain = time.Duration(overdue / (capacity - rate) * float64(time.Second))
	}
	return s
}

// sizes is how many cells there are, and what each carries.
func sizes() table {
	t := table{name: "sizes", head: []string{
		"secrets of a cell", "cells", "refreshes/s", "state written, of capacity", "index", "state, each replica", "to the mirror", "index built", "drained after an hour's standstill",
	}}
	for _, secrets := range []float64{250_000, cellSize, 4_000_000, 10_000_000} {
		s := sizeOf(secrets)
		drain := "never"
		if s.drain > 0 {
			drain = short(s.drain)
		}
		t.add(count(secrets), count(s.cells), count(s.refreshes), count(100*s.busy)+" %",
			count(s.index/1e6)+" MB", count(s.stored/1e9)+" GB", count(8*s.mirrored/1e6)+" Mbit/s", short(s.restart), drain)
	}
	return t
}

// organisations returns the sizes of all organisations, the largest first: the n-th
// is in proportion to 1/n^s, as cities are, and together they make the fleet.
func organisations() []float64 {
	all := make([]float64, organised)
	share := func(s float64) (sum float64) {
		for n := range all {
			all[n] = math.Pow(float64(n+1), -s)
			sum += all[n]
		}
		return sum
	}
	low, high := 0.0, 2.0
	for range 30 { // the exponent that gives the largest its size
		if middle := (low + high) / 2; fleet/share(middle) < largest {
			low = middle
		} else {
			high = middle
		}
	}
	scale := fleet / share(low)
	for n := range all {
		all[n] *= scale
	}
	return all
}

// part is the most secrets that are placed together.
const part = cellSize / 20

// fullest places organisations and returns the secrets of the fullest cell.
func fullest(seed uint64, all []float64, byDirectory, inParts bool) float64 {
	w := newWorld(seed)
	cells := make([]float64, int(fleet/cellSize*1.1)) // a tenth is kept free
	for _, secrets := range all {
		for secrets > 0 {
			piece := secrets
			if inParts {
				piece = min(piece, part)
			}
			cells[choose(w, cells, byDirectory)] += piece
			secrets -= piece
		}
	}
	return slices.Max(cells)
}

// choose picks a cell by hash, or the emptier of two as a directory can.
func choose(w *world, cells []float64, byDirectory bool) int {
	a, b := w.IntN(len(cells)), w.IntN(len(cells))
	if byDirectory && cells[b] < cells[a] {
		return b
	}
	return a
}

// placements is how full the fullest cell gets.
func placements(seed uint64) table {
	t := table{name: "placements", head: []string{"organisations are placed", "secrets of the fullest cell", "of the mean"}}
	add := func(how string, secrets float64) {
		t.add(how, count(secrets), count(100*secrets*math.Floor(fleet/cellSize*1.1)/fleet)+" %")
	}
	all := organisations()
	add("by a hash of their id", fullest(seed, all, false, false))
	add("by a directory, into the emptier of two cells", fullest(seed, all, true, false))
	add("by a hash, in parts of at most 50,000", fullest(seed, all, false, true))
	add("by a directory, in parts of at most 50,000", fullest(seed, all, true, true))
	return t
}

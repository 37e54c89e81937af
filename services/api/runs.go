package api

import (
	"iter"
	"slices"
)

// maxRun is how many records a run has at most. A change copies a run, and a
// reader copies the list of runs: with this many, either is a few microseconds for
// a hundred thousand records.
const maxRun = 128

// runs is a list of records in order. It is cut into runs that are never written:
// a change puts another in the place of one. So a copy of what names the runs is a
// copy of the list, and is read without a lock while the list goes on changing.
type runs[T any] [][]T

// len returns how many records there are.
func (l runs[T]) len() (n int) {
	for _, run := range l {
		n += len(run)
	}
	return n
}

// all tells of the records from the first to the last.
func (l runs[T]) all() iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, run := range l {
			for _, v := range run {
				if !yield(v) {
					return
				}
			}
		}
	}
}

// backward tells of the records from the last to the first.
func (l runs[T]) backward() iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, run := range slices.Backward(l) {
			for _, v := range slices.Backward(run) {
				if !yield(v) {
					return
				}
			}
		}
	}
}

// cut tells of the records from the i-th on, counted from the last, to before the
// j-th. It passes by whole runs.
func (l runs[T]) cut(i, j int) iter.Seq[T] {
	return func(yield func(T) bool) {
		for n := len(l) - 1; n >= 0 && j > 0; n-- {
			run := l[n]
			for at := i; at < min(j, len(run)); at++ {
				if !yield(run[len(run)-1-at]) {
					return
				}
			}
			i, j = max(0, i-len(run)), j-len(run)
		}
	}
}

// newRuns cuts a list that is in order. Each run has an array of its own: one that
// they shared would hold on to what has been replaced in the others.
func newRuns[T any](sorted []T) (l runs[T]) {
	for run := range slices.Chunk(sorted, maxRun) {
		l = append(l, slices.Clone(run))
	}
	return l
}

// find returns the run that a record belongs into, its place there, and whether it
// is there. The run is 0 if there is none.
func (l runs[T]) find(v T, compare func(a, b T) int) (run, at int, found bool) {
	run, _ = slices.BinarySearchFunc(l, v, func(run []T, v T) int { return compare(run[len(run)-1], v) })
	if run = min(run, len(l)-1); run < 0 {
		return 0, 0, false
	}
	at, found = slices.BinarySearchFunc(l[run], v, compare)
	return run, at, found
}

// insert returns the list with a record more. It takes the list that it is called
// on, but not its copies.
func (l runs[T]) insert(v T, compare func(a, b T) int) runs[T] {
	run, at, _ := l.find(v, compare)
	switch {
	case len(l) == 0:
		return runs[T]{{v}}
	case len(l[run]) < maxRun:
		l[run] = spliced(l[run], at, at, v)
		return l
	case at == maxRun: // at the end of the list, where what is new belongs
		return append(l, []T{v})
	}
	low, high := l[run][:maxRun/2], l[run][maxRun/2:]
	l[run] = slices.Clone(low)
	return slices.Insert(l, run+1, slices.Clone(high)).insert(v, compare)
}

// set puts a record in the place of its equal.
func (l runs[T]) set(run, at int, v T) { l[run] = spliced(l[run], at, at+1, v) }

// remove returns the list without a record. It takes the list that it is called
// on, but not its copies.
func (l runs[T]) remove(run, at int) runs[T] {
	if l[run] = spliced(l[run], at, at+1); len(l[run]) == 0 {
		l = slices.Delete(l, run, run+1)
	}
	return l.join(run).join(run - 1)
}

// join makes one of a run and the next, if there are both and they are short.
func (l runs[T]) join(run int) runs[T] {
	if run < 0 || run+1 >= len(l) || len(l[run])+len(l[run+1]) > maxRun/2 {
		return l
	}
	l[run] = slices.Concat(l[run], l[run+1])
	return slices.Delete(l, run+1, run+2)
}

// spliced returns a new run with v in the place of what is from i to before j.
func spliced[T any](run []T, i, j int, v ...T) []T {
	out := make([]T, 0, len(run)-(j-i)+len(v))
	return append(append(append(out, run[:i]...), v...), run[j:]...)
}

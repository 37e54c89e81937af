package api

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestRunsAgainstSlices makes random changes and holds the list against a slice. A
// copy that was made on the way stays as it was.
func TestRunsAgainstSlices(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		dice := rand.New(rand.NewPCG(seed, 0))
		var list, copied runs[int]
		var model, then []int
		for step := range 6000 {
			v := dice.IntN(4 * maxRun * maxRun)
			if dice.IntN(3) == 0 {
				v = 4*maxRun*maxRun + step // what is new belongs at the end
			}
			// It grows, shrinks to little or nothing, and grows again.
			if dice.IntN(10) < 1+7*(step/1500%2) && len(model) > 0 {
				v = model[dice.IntN(len(model))]
			}
			at, known := slices.BinarySearch(model, v)
			run, place, found := list.find(v, cmp.Compare)
			switch {
			case found != known:
				t.Fatalf("seed %d, step %d: found %v, want %v", seed, step, found, known)
			case !found:
				list, model = list.insert(v, cmp.Compare), slices.Insert(model, at, v)
			case dice.IntN(4) == 0:
				list.set(run, place, v)
			default:
				list, model = list.remove(run, place), slices.Delete(model, at, at+1)
			}
			if step%500 == 250 {
				checkRuns(t, copied, then)
				checkRuns(t, list, model)
				copied, then = slices.Clone(list), slices.Clone(model)
			}
		}
		checkRuns(t, newRuns(model), model)
	}
}

func checkRuns(t *testing.T, list runs[int], want []int) {
	t.Helper()
	if got := slices.Collect(list.all()); !slices.Equal(got, want) || list.len() != len(want) {
		t.Fatalf("%d records, which say they are %d, of %d, or others", len(got), list.len(), len(want))
	}
	for i, run := range list {
		if len(run) == 0 || len(run) > maxRun || i > 0 && len(run)+len(list[i-1]) <= maxRun/2 {
			t.Fatalf("run %d of %d has %d records, behind one of %d", i, len(list), len(run), len(list[max(0, i-1)]))
		}
	}
	newest := slices.Clone(want)
	slices.Reverse(newest)
	if !slices.Equal(slices.Collect(list.backward()), newest) {
		t.Fatal("backward is another order")
	}
	for _, from := range []int{0, len(want) / 3, len(want)} {
		for _, to := range []int{from, min(from+maxRun+1, len(want)), len(want)} {
			if to >= from && !slices.Equal(slices.Collect(list.cut(from, to)), newest[from:to]) {
				t.Fatalf("from %d to %d are others", from, to)
			}
		}
	}
}

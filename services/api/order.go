package api

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// place is where a row is in a list, and a piece of what it is ordered by: the
// greater piece comes later. It has no pointers, so a hundred thousand of them are
// moved about without a word to the garbage collector.
type place struct {
	piece    uint64
	run, nth uint32
}

// rooms are for places, of one query at a time each. The zero rooms can be used.
type rooms struct{ free sync.Pool }

func (r *rooms) take() *[]place {
	if room, ok := r.free.Get().(*[]place); ok {
		return room
	}
	return new([]place)
}

func (r *rooms) give(room *[]place) { r.free.Put(room) }

// column is something that rows are ordered by: a text, or a number.
type column struct {
	text       func(*row) string // nil for a number
	number     func(*row) uint64
	descending bool
	cold       bool // whether each row has a text of its own
}

// columns returns what the query orders by.
func (q *SecretQuery) columns() (columns []column) {
	for _, o := range q.Order {
		c := columnOf(o.By, q.Now)
		c.descending = o.Descending
		columns = append(columns, c)
	}
	return columns
}

func columnOf(a SecretAttribute, now time.Time) column {
	switch a {
	case SecretEnvironment:
		return column{text: func(r *row) string { return r.facet.Value().environment }}
	case SecretKind:
		return column{text: func(r *row) string { return string(r.facet.Value().kind.Canonical()) }}
	case SecretStatus:
		return column{text: func(r *row) string { return string(r.statusAt(now)) }}
	case SecretCreatedAt:
		return column{number: func(r *row) uint64 { return rank(r.created) }}
	case SecretUpdatedAt:
		return column{number: func(r *row) uint64 { return rank(r.updated) }}
	default:
		return column{text: func(r *row) string { return r.name }, cold: true}
	}
}

// rank orders Unix milliseconds, none first.
func rank(millis int64) uint64 {
	if millis == 0 {
		return 0
	}
	return uint64(millis) ^ 1<<63 // the least negative number is no time of a record
}

// sorter puts a part of a list in order, by one piece of one column at a time. Rows
// that no column tells apart stay newest first.
type sorter struct {
	list    runs[*row]
	columns []column
	touch   touch
}

func (s *sorter) row(p place) *row { return s.list[p.run][p.nth] }

// sort brings to places[from:to] what belongs there, in order, and leaves the rest
// before and behind it in none: so a page costs some looks at each row, wherever it
// is. All places are equal in the columns before c, and in c up to byte at.
func (s *sorter) sort(places []place, from, to, c, at int) {
	if from >= to || len(places) < 2 || c > len(s.columns) {
		return
	}
	s.cut(places, c, at)
	s.sortPieces(places, from, to, c, at)
}

// sortPieces is sort when the pieces are those of column c from byte at on.
func (s *sorter) sortPieces(places []place, from, to, c, at int) {
	for from < to && len(places) > 1 {
		pivot := places[rand.IntN(len(places))].piece //nolint:gosec // nothing secret
		low, high := partition(places, pivot)
		s.sortPieces(places[:low], from, min(to, low), c, at)
		nextColumn, nextByte := s.next(pivot, c, at)
		s.sort(places[low:high], max(0, from-low), min(to, high)-low, nextColumn, nextByte)
		places, from, to = places[high:], max(0, from-high), to-high
	}
}

// next returns where those have to be compared that have the same piece.
func (s *sorter) next(piece uint64, c, at int) (nextColumn, nextByte int) {
	if c < len(s.columns) && s.columns[c].text != nil && byte(piece^s.columns[c].mask()) == unfinished {
		return c, at + pieceSize
	}
	return c + 1, 0
}

// cut fills in the pieces. Behind all columns is the age.
func (s *sorter) cut(places []place, c, at int) {
	if c == len(s.columns) {
		for i, p := range places {
			places[i].piece = math.MaxUint64 - (uint64(p.run)<<32 | uint64(p.nth))
		}
		return
	}
	column, mask := &s.columns[c], s.columns[c].mask()
	var rows [maxRun]*row
	for batch := range slices.Chunk(places, maxRun) {
		for i, p := range batch {
			rows[i] = s.row(p)
		}
		s.touch.rows(rows[:len(batch)])
		if column.cold {
			s.touch.names(rows[:len(batch)])
		}
		for i, r := range rows[:len(batch)] {
			if column.text != nil {
				batch[i].piece = piece(column.text(r), at) ^ mask
			} else {
				batch[i].piece = column.number(r) ^ mask
			}
		}
	}
}

// mask is what turns the order of pieces round, if that is asked for.
func (c *column) mask() uint64 {
	if c.descending {
		return math.MaxUint64
	}
	return 0
}

// pieceSize is how many bytes of a text are compared at once, and unfinished is the
// last byte of the piece of a text that goes on.
const (
	pieceSize  = 7
	unfinished = pieceSize + 1
)

// piece returns bytes of a text from at on, zeros beyond its end, and behind them
// how many are the text's own: zeros may be, too.
func piece(text string, at int) uint64 {
	text = text[at:]
	var bytes [8]byte
	bytes[pieceSize] = byte(min(unfinished, len(text)))
	copy(bytes[:pieceSize], text)
	return binary.BigEndian.Uint64(bytes[:])
}

// partition puts what is less than the pivot before low, and what is greater from
// high on.
func partition(places []place, pivot uint64) (low, high int) {
	high = len(places)
	for i := 0; i < high; {
		switch p := places[i]; {
		case p.piece < pivot:
			places[i], places[low] = places[low], p
			low, i = low+1, i+1
		case p.piece > pivot:
			high--
			places[i], places[high] = places[high], p
		default:
			i++
		}
	}
	return low, high
}

// statusAt is secret.Secret.StatusAt.
func (r *row) statusAt(now time.Time) secret.Status {
	if r.awaited(now) {
		return secret.Pending
	}
	return r.facet.Value().status
}

func (r *row) awaited(now time.Time) bool {
	return r.more != nil && r.more.authorization.Awaited(now)
}

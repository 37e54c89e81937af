package transfer

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Origin is what an import was begun with. A journal of another is of no use.
type Origin struct {
	// Mode is what the import is to do, and Target where and with which flags.
	Mode   string `json:"mode"`
	Target string `json:"target"`
	// Size and Modified are those of the file, zero for a stream.
	Size     int64     `json:"size,omitempty"`
	Modified time.Time `json:"modified,omitzero"`
}

// markEvery is how many lines may be done before the journal says so: so many are
// done again after a crash, which does no harm.
const markEvery = 32

// Journal says how far an import has come. It holds numbers of lines, and nothing
// of the rows.
type Journal struct {
	file *os.File
	last int // that was written
}

// OpenJournal opens the journal at path, or makes one, and returns the line that is
// done with all before it: 0 unless the journal is of the same origin.
func OpenJournal(path string, of Origin) (*Journal, int, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("journal: %w", err)
	}
	j := &Journal{file: file}
	if j.last = readJournal(file, of); j.last > 0 {
		_, err = file.Seek(0, io.SeekEnd)
		return j, j.last, err
	}
	head, err := json.Marshal(of)
	if err == nil {
		err = errors.Join(file.Truncate(0), seekStart(file))
	}
	if err == nil {
		_, err = file.Write(append(head, '\n'))
	}
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("journal: %w", err), file.Close())
	}
	return j, 0, nil
}

func seekStart(f *os.File) error {
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// mark is a line of a journal.
type mark struct {
	Line int `json:"line"`
}

// readJournal returns the last line of which a journal says that it is done; 0 for
// a journal of another origin, or none. A last line that was cut off is no harm.
func readJournal(from io.Reader, of Origin) int {
	lines := bufio.NewScanner(from)
	var found Origin
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &found) != nil || !found.same(of) {
		return 0
	}
	last := 0
	for lines.Scan() {
		var m mark
		if json.Unmarshal(lines.Bytes(), &m) == nil && m.Line > last {
			last = m.Line
		}
	}
	return last
}

func (o Origin) same(other Origin) bool {
	return o.Mode == other.Mode && o.Target == other.Target && o.Size == other.Size && o.Modified.Equal(other.Modified)
}

// Mark notes that a line is done, and all before it.
func (j *Journal) Mark(line int) error {
	if line < j.last+markEvery {
		return nil
	}
	return j.write(line)
}

func (j *Journal) write(line int) error {
	j.last = line
	if _, err := fmt.Fprintf(j.file, "\n{\"line\":%d}\n", line); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// Stop notes how far the import came that ends before its end.
func (j *Journal) Stop(line int) error {
	var err error
	if line > j.last {
		err = j.write(line)
	}
	return errors.Join(err, j.file.Close())
}

// Remove removes the journal of an import that is done.
func (j *Journal) Remove() error {
	return errors.Join(j.file.Close(), os.Remove(j.file.Name()))
}

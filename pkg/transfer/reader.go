package transfer

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// Line is a line of a stream of rows.
type Line struct {
	// Number counts the lines from 1, empty ones too.
	Number int
	// Text is the line without its end; whoever has it may keep it, and is to
	// overwrite it. It is nil for a line that is too long.
	Text []byte
	// End is where in the stream the next line begins, in bytes.
	End int64
}

// Reader reads a stream of rows line by line.
type Reader struct {
	from   *bufio.Reader
	skip   int
	number int
	end    int64
}

// NewReader returns a Reader that skips the first lines.
func NewReader(from io.Reader, skip int) *Reader {
	return &Reader{from: bufio.NewReaderSize(from, MaxRow+2), skip: skip}
}

// Next returns the next line that is not empty, or io.EOF.
func (r *Reader) Next() (Line, error) {
	for ; r.skip > 0; r.skip-- {
		if _, err := r.read(); err != nil {
			return Line{}, err
		}
	}
	for {
		line, err := r.read()
		if err != nil || line.Text == nil || len(bytes.TrimSpace(line.Text)) > 0 {
			return line, err
		}
	}
}

// read returns the next line. The last one need not have an end.
func (r *Reader) read() (Line, error) {
	text, err := r.from.ReadSlice('\n')
	r.end += int64(len(text))
	long := false
	for errors.Is(err, bufio.ErrBufferFull) {
		long = true
		clear(text)
		text, err = r.from.ReadSlice('\n')
		r.end += int64(len(text))
	}
	if err != nil && (!errors.Is(err, io.EOF) || len(text) == 0 && !long) {
		return Line{}, err
	}
	r.number++
	line := Line{Number: r.number, End: r.end}
	kept := bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if !long && len(kept) <= MaxRow {
		line.Text = append([]byte{}, kept...)
	}
	clear(text)
	return line, nil
}

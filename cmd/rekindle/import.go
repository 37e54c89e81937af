package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/transfer"
)

// importFlags is what a person says of an import.
type importFlags struct {
	dryRun, stage, takeOver, yes bool

	over        time.Duration
	overGiven   bool
	concurrency int
	journal     string
	rejects     string
	identity    string
}

// mode is the mode of the API (see client.Import).
func (f *importFlags) mode() string {
	switch {
	case f.dryRun:
		return "check"
	case f.takeOver:
		return "take_over"
	default:
		return "create"
	}
}

func newImport() *cobra.Command {
	var f importFlags
	r := &remote{}
	c := r.command(cobra.Command{
		Use:   "import FILE",
		Short: "Import secrets, one JSON object a line",
		Long: "Import secrets of another system: one JSON object a line, from a file or, by -, from\n" +
			"standard input. What is imported once is not imported twice, and what is there is\n" +
			"never overwritten; an import that was stopped goes on where it was. The form of a row,\n" +
			"and how to move without anybody consenting again, is in docs/import.md.\n\n" +
			"The first exchanges are spread over some time. With --stage there are none until the\n" +
			"rows are given again with --take-over: stop the other system in between, for two that\n" +
			"refresh the same grant end it at many providers. The refresh tokens are then taken\n" +
			"from the rows once more, for the other system may have replaced them meanwhile.",
		Example: "  rekindle import rows.ndjson --dry-run\n" +
			"  rekindle import rows.ndjson --stage --rejects failed.ndjson\n" +
			"  rekindle import rows-after-stop.ndjson --take-over --over 1h\n" +
			"  pass show rows | rekindle import - --property shop -o json > results.ndjson",
	}, positional{1, 1, "one file, or - for standard input"}, func(ctx context.Context, s *session, args []string) error {
		return s.importFile(ctx, args[0], f)
	})
	c.ValidArgsFunction = nil // files
	single(r, c)
	fl := c.Flags()
	fl.BoolVar(&f.dryRun, "dry-run", false, "have the server check every row, and change nothing")
	fl.BoolVar(&f.stage, "stage", false, "store everything, and leave the secrets to the system they come from")
	fl.BoolVar(&f.takeOver, "take-over", false, "make what was staged this fleet's own, and begin to exchange it")
	fl.DurationVar(&f.over, "over", 0, "spread the first exchanges over this time, a day at most (default: 50 a second)")
	fl.IntVar(&f.concurrency, "concurrency", 16, "how many rows are sent at a time")
	fl.StringVar(&f.journal, "journal", "", "file that says how far the import is (default: FILE.journal; none for standard input)")
	fl.StringVar(&f.rejects, "rejects", "", "file for the rows that were not imported, as they were")
	fl.StringVar(&f.identity, "identity", "", "file with the private key that the rows are sealed to")
	bindYes(c, &f.yes)
	c.PreRun = func(c *cobra.Command, _ []string) { f.overGiven = c.Flags().Changed("over") }
	return c
}

// check refuses flags that do not go together.
func (f *importFlags) check(name string) error {
	chosen := 0
	for _, on := range []bool{f.dryRun, f.stage, f.takeOver} {
		if on {
			chosen++
		}
	}
	switch {
	case chosen > 1:
		return &usageError{errors.New("--dry-run, --stage and --take-over: only one of them")}
	case f.concurrency < 1 || f.concurrency > 256:
		return &usageError{errors.New("--concurrency: from 1 to 256")}
	case f.over < 0 || f.over > secret.MaxPutOff:
		return &usageError{fmt.Errorf("--over: from 0 to %s", secret.MaxPutOff)}
	case f.rejects != "" && name == fromStdin && f.identity == "":
		return &usageError{errors.New("--rejects: would put on disk what comes from standard input so that it is not")}
	default:
		return nil
	}
}

// importer is an import at work.
type importer struct {
	*session
	importFlags
	places  places
	opener  *transfer.Opener // nil unless there is an identity
	report  *importReport
	journal *transfer.Journal // nil for none
	rejects *os.File          // nil for none
	held    bool              // a row failed that no file has: the journal stays before it
	stopped int               // the last line that is done with all before it
}

// importFile imports a file or standard input.
func (s *session) importFile(ctx context.Context, name string, f importFlags) (err error) {
	if err := f.check(name); err != nil {
		return err
	}
	i := &importer{session: s, importFlags: f, places: places{session: s, known: map[string]place{}}}
	in, size, err := i.openRows(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if !f.dryRun && !f.stage {
		question := "the system that these secrets come from must not refresh them any more: has it been stopped?"
		if err := s.confirm(ctx, f.yes, question); err != nil {
			return err
		}
	}
	i.report = newImportReport(s)
	from, err := i.prepare(name, in, size)
	if err != nil {
		return err
	}
	if i.rejects != nil {
		defer func() { err = errors.Join(err, i.rejects.Close()) }()
	}
	rows := transfer.NewReader(in, from)
	run := transfer.Pipeline{Next: rows.Next, Workers: f.concurrency, Do: i.row, Done: i.done}
	err = run.Run(ctx)
	return errors.Join(err, i.report.end(err == nil), i.close(err == nil))
}

// prepare counts the rows, and opens the files beside them. It returns how many
// lines are done.
func (i *importer) prepare(name string, in io.ReadSeeker, size int64) (done int, err error) {
	if name != fromStdin {
		if i.report.lines, err = countLines(in); err != nil {
			return 0, err
		}
	}
	if !i.overGiven {
		i.over = min(time.Duration(i.report.lines)*time.Second/firstExchanges, secret.MaxPutOff)
	}
	if i.rejects, err = createRejects(i.importFlags.rejects); err != nil {
		return 0, err
	}
	path := i.importFlags.journal
	if path == "" && name != fromStdin && !i.dryRun {
		path = name + ".journal"
	}
	if path == "" {
		return 0, nil
	}
	origin := transfer.Origin{Mode: i.mode(), Target: fmt.Sprintf("%s %s stage=%t", i.server, i.property, i.stage), Size: size}
	if info, err := os.Stat(name); name != fromStdin && err == nil {
		origin.Modified = info.ModTime()
	}
	i.journal, done, err = transfer.OpenJournal(path, origin)
	if done > 0 {
		i.stopped, i.report.at, i.report.first = done, done, done
		fmt.Fprintf(i.err, "going on behind line %d, where the last run stopped (%s)\n", done, path)
	}
	return done, err
}

// firstExchanges is how many first exchanges begin in a second unless told otherwise.
const firstExchanges = 50

// openRows opens what holds the rows. Size is 0 for standard input.
func (i *importer) openRows(name string) (in rowsFile, size int64, err error) {
	if i.identity != "" {
		if i.opener, err = transfer.LoadOpener(i.identity); err != nil {
			return in, 0, err
		}
	}
	if name == fromStdin {
		return rowsFile{Reader: i.in}, 0, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return in, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return in, 0, errors.Join(err, file.Close())
	}
	if info.Mode().Perm()&0o077 != 0 && i.opener == nil {
		fmt.Fprintf(i.err, "others can read what is hidden in %s: run chmod 600 on it, and delete it when the import is done\n", oneLine(name))
	}
	return rowsFile{file, file}, info.Size(), nil
}

// rowsFile is a file, or standard input, which cannot seek and is not closed.
type rowsFile struct {
	io.Reader
	file *os.File
}

func (r rowsFile) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// Seek implements io.Seeker for files.
func (r rowsFile) Seek(offset int64, whence int) (int64, error) {
	if r.file == nil {
		return 0, errors.ErrUnsupported
	}
	return r.file.Seek(offset, whence)
}

// countLines counts the lines of a file, and goes back to its start.
func countLines(in io.ReadSeeker) (lines int, err error) {
	rows := transfer.NewReader(in, 0)
	for {
		line, err := rows.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
		clear(line.Text)
		lines = line.Number
	}
	_, err = in.Seek(0, io.SeekStart)
	return lines, err
}

// createRejects opens the file for rows that were not imported, nil for "".
func createRejects(path string) (*os.File, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// done is told of every row in its order.
func (i *importer) done(line transfer.Line, result transfer.Result) error {
	defer clear(line.Text)
	failed := failedRow(result)
	if failed && i.rejects != nil && line.Text != nil {
		if _, err := i.rejects.Write(append(line.Text, '\n')); err != nil {
			return fmt.Errorf("--rejects: %w", err)
		}
	} else if failed {
		i.held = true
	}
	i.report.add(result)
	if i.held {
		return nil
	}
	i.stopped = line.Number
	if i.journal == nil {
		return nil
	}
	return i.journal.Mark(line.Number)
}

// failedRow reports whether what is in the row is not in the fleet.
func failedRow(r transfer.Result) bool { return r.Error != "" }

// close ends the journal: it stays, for the next run, if there is something left
// to do.
func (i *importer) close(all bool) error {
	switch {
	case i.journal == nil:
		return nil
	case all:
		return i.journal.Remove()
	default:
		return i.journal.Stop(i.stopped)
	}
}

// places finds properties and environments by name, each once.
type places struct {
	*session
	mu    sync.Mutex
	known map[string]place
}

// place is the id that a name stands for, or why there is none.
type place struct {
	id  string
	err error
}

// find returns the id of a property, or of an environment of one.
func (p *places) find(ctx context.Context, property, environment string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := property + "\x00" + environment
	if found, ok := p.known[key]; ok {
		return found.id, found.err
	}
	var found place
	if environment == "" {
		one, err := p.propertyOf(ctx, property)
		found = place{one.ID.ID, err}
	} else {
		id, err := p.environmentID(ctx, property, environment)
		found = place{id, err}
	}
	if found.err == nil || rowProblem(found.err) {
		p.known[key] = found // whatever else is wrong may pass
	}
	return found.id, found.err
}

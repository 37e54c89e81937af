package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// image is what the Dockerfile makes: the files and the configuration.
type image struct {
	warnings []string // of the linter
	goImage  string   // that the program is built in
	takes    []string // build arguments

	root       string            // directory with the files
	owner      map[string]string // of what was copied with --chown, by path
	base       string
	user       string
	env        map[string]string
	volumes    []string
	ports      []string
	entrypoint []string
	cmd        []string
}

// program returns the path of the program that the image starts.
func (i *image) program() string { return filepath.Join(i.root, i.entrypoint[0]) }

// builder carries out a Dockerfile on this machine, as far as ours goes: a stage
// that runs commands in the build context and leaves its results in /out, and a
// stage that copies them.
type builder struct {
	context string // what .dockerignore lets through
	out     string // /out of the build stage
	args    map[string]string
	env     []string
	image
}

// inGoImage are the files that the golang image is known to have.
var inGoImage = []string{"/etc/ssl/certs/ca-certificates.crt"}

// buildImage builds the image of the repository in dir.
func buildImage(dir string, args map[string]string) (*image, error) {
	b := &builder{context: filepath.Join(dir, "context"), out: filepath.Join(dir, "out"), args: args}
	b.root, b.env, b.owner = filepath.Join(dir, "image"), environ(), map[string]string{}
	b.image.env = map[string]string{}
	if err := copyContext("../..", "../../deploy/Dockerfile.dockerignore", b.context); err != nil {
		return nil, fmt.Errorf("build context: %w", err)
	}
	stages, err := b.parse("../../deploy/Dockerfile")
	if err != nil {
		return nil, err
	}
	if len(stages) != 2 {
		return nil, fmt.Errorf("has %d stages, want one that builds and one that is shipped", len(stages))
	}
	b.goImage, b.base = stages[0].BaseName, stages[1].BaseName
	for _, c := range stages[0].Commands {
		if err := b.build(c); err != nil {
			return nil, err
		}
	}
	for name := range args {
		if !slices.Contains(b.takes, name) {
			return nil, fmt.Errorf("takes no argument %s", name)
		}
	}
	for _, c := range stages[1].Commands {
		if err := b.ship(c, stages[0].Name); err != nil {
			return nil, err
		}
	}
	return &b.image, nil
}

// environ is the environment of the test without what would let the build see
// more than its context.
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GOWORK=") })
}

func (b *builder) parse(path string) ([]instructions.Stage, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	for _, w := range parsed.Warnings {
		b.warnings = append(b.warnings, w.Short)
	}
	warn := func(rule, _, _, message string, _ []parser.Range) {
		b.warnings = append(b.warnings, rule+": "+message)
	}
	stages, _, err := instructions.Parse(parsed.AST, linter.New(&linter.Config{Warn: warn}))
	return stages, err
}

// build carries out a command of the build stage.
func (b *builder) build(c instructions.Command) error {
	switch c := c.(type) {
	case *instructions.WorkdirCommand: // the build context is mounted there
		return nil
	case *instructions.EnvCommand:
		for _, kv := range c.Env {
			b.env = append(b.env, kv.Key+"="+kv.Value)
		}
		return nil
	case *instructions.ArgCommand:
		return b.arguments(c)
	case *instructions.RunCommand:
		return b.run(c)
	}
	return fmt.Errorf("%s in the build stage is not understood here", c.Name())
}

func (b *builder) arguments(c *instructions.ArgCommand) error {
	given := map[string]string{"TARGETOS": runtime.GOOS, "TARGETARCH": runtime.GOARCH}
	maps.Copy(given, b.args)
	for _, arg := range c.Args {
		value, ok := given[arg.Key]
		switch {
		case ok:
		case arg.Value != nil:
			value = *arg.Value
		default:
			return fmt.Errorf("ARG %s has no value", arg.Key)
		}
		b.env = append(b.env, arg.Key+"="+value)
		b.takes = append(b.takes, arg.Key)
	}
	return nil
}

func (b *builder) run(c *instructions.RunCommand) error {
	if !c.PrependShell {
		return errors.New("RUN without a shell is not understood here")
	}
	// The mounts are read when variables in them are replaced; ours have none.
	if err := c.Expand(func(word string) (string, error) { return word, nil }); err != nil {
		return err
	}
	for _, m := range instructions.GetMounts(c) {
		if m.Type == instructions.MountTypeBind && m.Target != "." {
			return fmt.Errorf("RUN: mount at %s, want the build context in the working directory", m.Target)
		}
	}
	script := strings.ReplaceAll(strings.Join(c.CmdLine, " "), "/out/", b.out+"/")
	cmd := exec.Command("sh", "-euc", script)
	cmd.Dir, cmd.Env = b.context, b.env
	return output(cmd)
}

// ship carries out a command of the last stage, which copies from the stage
// named from.
func (b *builder) ship(c instructions.Command, from string) error {
	switch c := c.(type) {
	case *instructions.CopyCommand:
		if c.From != from {
			return fmt.Errorf("COPY --from=%q, want %q", c.From, from)
		}
		for _, source := range c.SourcePaths {
			if err := b.copy(source, c.DestPath, c.Chown); err != nil {
				return fmt.Errorf("COPY %s: %w", source, err)
			}
		}
	case *instructions.EnvCommand:
		for _, kv := range c.Env {
			b.image.env[kv.Key] = kv.Value
		}
	case *instructions.UserCommand:
		b.user = c.User
	case *instructions.VolumeCommand:
		b.volumes = append(b.volumes, c.Volumes...)
	case *instructions.ExposeCommand:
		b.ports = append(b.ports, c.Ports...)
	case *instructions.EntrypointCommand:
		b.entrypoint = c.CmdLine
	case *instructions.CmdCommand:
		b.cmd = c.CmdLine
	default:
		return fmt.Errorf("%s in the last stage is not understood here", c.Name())
	}
	return nil
}

// copy copies a file, or what is in a directory.
func (b *builder) copy(source, dest, owner string) error {
	to := filepath.Join(b.root, dest)
	if slices.Contains(inGoImage, source) {
		return writeFile(to, nil, 0o644)
	}
	rel, ok := strings.CutPrefix(source, "/out/")
	if !ok {
		return errors.New("is not known to be there")
	}
	from := filepath.Join(b.out, rel)
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		content, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		return writeFile(to, content, info.Mode())
	}
	err = fs.WalkDir(os.DirFS(from), ".", func(name string, _ fs.DirEntry, err error) error {
		if owner != "" && name != "." {
			b.owner[path.Join(dest, name)] = owner
		}
		return err
	})
	return errors.Join(err, os.CopyFS(to, os.DirFS(from)))
}

func writeFile(path string, content []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, mode)
}

// copyContext copies from the repository what an ignore file lets through.
func copyContext(repository, ignore, to string) error {
	f, err := os.Open(ignore)
	if err != nil {
		return err
	}
	defer f.Close()
	patterns, err := ignorefile.ReadAll(f)
	if err != nil {
		return err
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		return err
	}
	return fs.WalkDir(os.DirFS(repository), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		skip, err := ignored.MatchesOrParentMatches(name)
		switch {
		case err != nil:
			return err
		case skip && d.IsDir():
			return fs.SkipDir // ours re-includes nothing within what it ignores
		case skip || d.IsDir():
			return nil
		}
		content, err := os.ReadFile(filepath.Join(repository, name))
		if err != nil {
			return err
		}
		return writeFile(filepath.Join(to, name), content, 0o644)
	})
}

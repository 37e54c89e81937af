package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// walkBlock is a block of the README that a reader is asked to type.
var walkBlock = regexp.MustCompile("(?s)<!-- walk -->\n```sh\n(.*?)```")

// TestREADMEWalk types what the README says, against a fleet that was started
// as the README says. The commands run as they are written; only when one of
// their ports is taken, by a fleet that somebody is using, the ports are others.
func TestREADMEWalk(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := walkBlock.FindAllSubmatch(readme, -1)
	if len(blocks) != 4 {
		t.Fatalf("the README has %d blocks to walk through, want 4", len(blocks))
	}
	// Between the blocks a reader takes some time; the script waits for the
	// exchange, which the text between the blocks promises.
	script := "set -eu\ntrap 'kill $!' EXIT\n" + string(blocks[0][1]) + string(blocks[1][1]) +
		"until api http://127.0.0.1:8080/secrets/$secret | grep -q '\"status\":\"[sf]'; do :; done\n" +
		"echo; echo AFTER\n" + string(blocks[2][1]) + "echo; echo COMMANDS\n" + string(blocks[3][1])
	ports := walkPorts(t)
	script = ports.Replace(script)

	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	// The test binary is the program when it is called by its name.
	program := filepath.Join(dir, "bin", "rekindle")
	if err := os.Symlink(self, program); err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("curl"); err != nil {
		t.Log("there is no curl on this machine: a stand-in makes its requests")
		if err := os.Symlink(self, filepath.Join(dir, "bin", "curl")); err != nil {
			t.Fatal(err)
		}
	}
	startWalkFleet(t, dir, program, ports)

	sh := exec.CommandContext(t.Context(), "sh")
	sh.Dir, sh.Stdin = dir, strings.NewReader(script)
	sh.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+string(os.PathListSeparator)+filepath.Join(dir, "bin"),
		"REKINDLE_SERVER="+ports.Replace("http://127.0.0.1:8080"), envToken+"=") // as a reader has them, but for the ports
	var out, errs bytes.Buffer
	sh.Stdout, sh.Stderr = &out, &errs
	if err := sh.Run(); err != nil {
		t.Fatalf("the walk ended with %v\n%s\n%s", err, out.String(), errs.String())
	}
	before, rest, _ := strings.Cut(out.String(), "AFTER")
	after, commands, _ := strings.Cut(rest, "COMMANDS")
	checkWalk(t, "before the exchange", before, `"name":"crm"`, `"status":"pending"`)
	checkWalk(t, "after the exchange", after, `"status":"succeeded"`, `"refresh_at":"2`, `"total_count":1`,
		`rekindle_exchanges_total{action="exchange",kind="oauth2",outcome="succeeded"} 1`)
	checkWalk(t, "of the commands", commands, "status           succeeded", "in 6 h", "access_token   sand****", `"name": "billing"`, "secret tested            billing")
	if strings.Contains(out.String(), "s3cr3t") {
		t.Error("an answer holds the client secret")
	}
}

func checkWalk(t *testing.T, part, out string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		if !strings.Contains(out, want) {
			t.Errorf("%s there is no %s in\n%s", part, want, out)
		}
	}
}

// startWalkFleet does what `make run` does.
func startWalkFleet(t *testing.T, dir, program string, ports *strings.Replacer) {
	t.Helper()
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^\t(\./bin/rekindle serve .*)$`).FindSubmatch(makefile)
	if m == nil {
		t.Fatal("the Makefile does not run ./bin/rekindle serve")
	}
	args := strings.Fields(string(m[1]))[1:]
	args = append(args, strings.Fields(ports.Replace("--listen 127.0.0.1:8080 --ops-listen 127.0.0.1:9090"))...)
	serve := exec.Command(program, args...)
	serve.Dir = dir
	p := &process{name: "README", cmd: serve, done: make(chan struct{}), said: map[string]string{}, heard: make(chan struct{})}
	serve.Stderr = p.listener()
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = serve.Wait()
	}()
	t.Cleanup(func() {
		_ = serve.Process.Signal(syscall.SIGTERM)
		<-p.done
	})
	deadline := time.After(patience)
	for {
		p.mu.Lock()
		ready, heard := p.said["ready api"], p.heard
		p.mu.Unlock()
		if ready != "" {
			return
		}
		select {
		case <-heard:
		case <-p.done:
			t.Fatal("make run's command ended before it was ready")
		case <-deadline:
			t.Fatal("make run's command was not ready in time")
		}
	}
}

// walkPorts replaces the ports of the README that are taken.
func walkPorts(t *testing.T) *strings.Replacer {
	t.Helper()
	var pairs []string
	for _, address := range []string{"127.0.0.1:8080", "127.0.0.1:9090", "127.0.0.1:8089"} {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			t.Logf("%s is taken: walking on another port", address)
			if ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
				t.Fatal(err)
			}
			pairs = append(pairs, address, ln.Addr().String())
			if address == "127.0.0.1:8089" {
				pairs = append(pairs, "rekindle sandbox", "rekindle sandbox --listen "+ln.Addr().String())
			}
		}
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return strings.NewReplacer(pairs...)
}

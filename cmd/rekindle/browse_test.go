package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdBrowse does what a person's browser does with a link: "browse $URL", "browse
// 400 $URL". It follows redirects and prints the page it ends on.
func cmdBrowse(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	want := http.StatusOK
	if n, err := strconv.Atoi(args[0]); err == nil {
		want, args = n, args[1:]
	}
	jar, err := cookiejar.New(nil)
	ts.Check(err)
	link := strings.ReplaceAll(args[0], `\u0026`, "&") // as it stands in JSON
	resp, err := (&http.Client{Jar: jar}).Get(link)
	ts.Check(err)
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	ts.Check(err)
	ts.Setenv("LANDED", resp.Request.URL.String())
	fmt.Fprintf(ts.Stdout(), "%s\n", page)
	if resp.StatusCode != want {
		ts.Fatalf("browsing ended with %d at %s: %s", resp.StatusCode, resp.Request.URL.Path, page)
	}
}

// cmdControl tells the sandbox what to do: "control PUT /sandbox/clients/app
// app.json", where variables in the file are replaced. It prints the answer.
func cmdControl(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	body := ""
	if len(args) > 2 {
		body = os.Expand(ts.ReadFile(args[2]), ts.Getenv)
	}
	req, err := http.NewRequest(args[0], fleetOf(ts).sandbox+args[1], strings.NewReader(body))
	ts.Check(err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s\n", answer)
	if resp.StatusCode >= http.StatusMultipleChoices {
		ts.Fatalf("the sandbox answered %d: %s", resp.StatusCode, answer)
	}
}

// cmdExpand replaces the variables in files: "expand config.yaml".
func cmdExpand(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}

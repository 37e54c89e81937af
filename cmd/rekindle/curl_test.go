package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// curl makes the requests of the README on a machine that has no curl. It knows
// the flags the README uses and refuses others.
func curl() {
	req := &http.Request{Method: http.MethodGet, Header: http.Header{}}
	for args := os.Args[1:]; len(args) > 0; args = args[1:] {
		switch arg := args[0]; {
		case arg == "-sS":
		case arg == "-H" && len(args) > 1:
			args = args[1:]
			name, value, _ := strings.Cut(args[0], ":")
			req.Header.Set(name, strings.TrimSpace(value))
		case arg == "-d" && len(args) > 1:
			args = args[1:]
			req.Method, req.Body, req.ContentLength = http.MethodPost, io.NopCloser(strings.NewReader(args[0])), int64(len(args[0]))
		case strings.HasPrefix(arg, "http://"):
			u, err := url.Parse(arg)
			curlCheck(err)
			req.URL = u
		default:
			curlCheck(fmt.Errorf("the stand-in does not know %q", arg))
		}
	}
	resp, err := http.DefaultClient.Do(req)
	curlCheck(err)
	_, err = io.Copy(os.Stdout, resp.Body)
	curlCheck(err)
	os.Exit(0)
}

func curlCheck(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "curl:", err)
		os.Exit(1)
	}
}

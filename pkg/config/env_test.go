package config

import (
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestBindEnv(t *testing.T) {
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	listen := flags.String("listen", "default", "")
	ops := flags.String("ops-listen", "default", "")
	url := flags.String("nats-url", "default", "")
	workers := flags.Int("workers", 1, "")
	wait := Duration(time.Hour)
	flags.TextVar(&wait, "wait", wait, "")
	flags.Bool("help", false, "")
	if err := flags.Parse([]string{"--listen=flag"}); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{
		"REKINDLE_LISTEN":     "environment",
		"REKINDLE_OPS_LISTEN": "environment",
		"REKINDLE_NATS_URL":   "",
		"REKINDLE_WAIT":       "2d",
		"REKINDLE_HELP":       "true",
		"REKINDLE_UNKNOWN":    "not our business",
		"OPS_LISTEN":          "not ours",
	}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	if err := BindEnv(flags, "REKINDLE", lookup); err != nil {
		t.Fatal(err)
	}
	if *listen != "flag" || *ops != "environment" || *url != "default" || *workers != 1 || wait != Duration(48*time.Hour) {
		t.Errorf("listen %q, ops-listen %q, nats-url %q, workers %d, wait %v", *listen, *ops, *url, *workers, wait)
	}
	for name, changed := range map[string]bool{"listen": true, "ops-listen": true, "nats-url": false, "workers": false, "help": false} {
		if flags.Changed(name) != changed {
			t.Errorf("%s: changed is not %v", name, changed)
		}
	}
}

func TestBindEnvErrors(t *testing.T) {
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	flags.Int("workers", 1, "")
	flags.Duration("soft-stop", time.Second, "")
	err := BindEnv(flags, "REKINDLE", func(string) (string, bool) { return "s3cret", true })
	want := "REKINDLE_SOFT_STOP: not a valid duration\nREKINDLE_WORKERS: not a valid int"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

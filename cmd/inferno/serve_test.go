package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestServeRefusesBadFlags(t *testing.T) {
	for _, v := range []string{"INFERNO_HOST", "INFERNO_PORT", "TUNER_HOST", "TUNER_PORT", "TUNER_WARM_UP_CYCLES"} {
		t.Setenv(v, "")
	}
	for _, test := range []struct{ args, want []string }{
		{[]string{"--optimizer=", "--tuner=", "--queue-analysis="}, []string{"--optimizer, --tuner, --queue-analysis: all are empty"}},
		{[]string{"--optimizer=x", "--tuner=127.0.0.1:0", "--queue-analysis=127.0.0.1:99999", "--warm-up=-1", "--queue-model=guess"},
			[]string{"--optimizer: ", "--queue-analysis: ", "--warm-up: -1 is not allowed", "--queue-model: "}},
	} {
		_, err := runAlone(t, newServeCommand(), test.args...)
		for _, want := range test.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v: nothing about %q in %v", test.args, want, err)
			}
		}
	}
	t.Setenv("TUNER_PORT", "tcp://10.0.0.1:8081") // as Kubernetes sets it for a Service that is named tuner
	t.Setenv("TUNER_WARM_UP_CYCLES", "few")
	_, err := runAlone(t, newServeCommand())
	for _, want := range []string{`TUNER_PORT: "tcp://10.0.0.1:8081" is not allowed`, `TUNER_WARM_UP_CYCLES: "few"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("nothing about %q in %v", want, err)
		}
	}
}

// Variables of llm-inferno are heeded where no flag is given.
func TestServeReadsTheEnvironment(t *testing.T) {
	cmd := newServeCommand()
	if err := cmd.ParseFlags([]string{"--tuner=127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	o := serveOptions{optimizer: "127.0.0.1:8080", tuner: "127.0.0.1:1", warmUp: 5}
	get := func(name string) string {
		return map[string]string{"INFERNO_HOST": "10.1.2.3", "INFERNO_PORT": "3302", "TUNER_PORT": "3304", "TUNER_WARM_UP_CYCLES": "7"}[name]
	}
	if err := o.environment(cmd, get); err != nil || o.optimizer != "10.1.2.3:3302" || o.tuner != "127.0.0.1:1" || o.warmUp != 7 {
		t.Errorf("%+v, %v", o, err)
	}
}

// All services answer on the addresses that are printed, until the context ends.
func TestServeAnswers(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := serveOptions{optimizer: "127.0.0.1:0", tuner: "127.0.0.1:0", queueAnalysis: "127.0.0.1:0", queueModel: "mm1k-state-dependent"}
	printed, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- o.run(ctx, out) }()
	var text bytes.Buffer
	for buffer := make([]byte, 4096); !strings.Contains(text.String(), "Ctrl-C"); {
		n, err := printed.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(buffer[:n])
	}
	for name, path := range map[string]string{"optimizer": "/getModels", "tuner": "/warmup"} {
		url := regexp.MustCompile(name + `: (http://\S+)`).FindStringSubmatch(text.String())[1]
		answer, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d", name, answer.StatusCode)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

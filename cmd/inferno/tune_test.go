package main

import (
	"bytes"
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const experiment = "../../test/data/experiments/run17-armA-search-cycles.jsonl"

// tuneWith runs the command and returns its output.
func tuneWith(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := newTuneCommand()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.Execute()
	return out.String(), err
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const modelData = `{"models": [{"name": "qwen_2_5_14b", "acc": "H100", "accCount": 1, "maxBatchSize": 256, "atTokens": 512,
	"perfParms": {"alpha": 16, "beta": 0.084, "gamma": 2.9e-5}}]}`

func TestTuneAnswersEveryLine(t *testing.T) {
	models := writeFile(t, "model-data.json", modelData)
	plot := filepath.Join(t.TempDir(), "p.png")
	out, err := tuneWith(t, "--model-data", models, "--observations", experiment, "-o", "jsonl", "--plot", plot)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 17 {
		t.Fatalf("%d lines, want 17", len(lines))
	}
	var last map[string]any
	if err := json.Unmarshal([]byte(lines[16]), &last); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"time", "model", "accelerator", "parameters", "sd", "predicted_itl_ms", "predicted_ttft_ms", "innovation_itl", "accepted"} {
		if _, ok := last[field]; !ok {
			t.Errorf("%s is missing in %s", field, lines[16])
		}
	}
	again, err := tuneWith(t, "--model-data", models, "--observations", experiment, "-o", "jsonl")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(out, again); diff != "" {
		t.Errorf("another run answers differently:\n%s", diff)
	}
	f, err := os.Open(plot)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := png.Decode(f); err != nil {
		t.Errorf("the plot is no PNG: %v", err)
	}
}

func TestTuneWithEveryEstimator(t *testing.T) {
	models := writeFile(t, "model-data.json", modelData)
	for _, name := range []string{"ekf", "fixed", "sliding-window"} {
		out, err := tuneWith(t, "--model-data", models, "--observations", experiment, "--estimator", name)
		rows := 0
		for line := range strings.Lines(out) {
			if !strings.HasPrefix(line, " ") {
				rows++
			}
		}
		if err != nil || rows != 18 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		narrow(t, out)
	}
}

func TestTuneSaysWhichPairIsMissing(t *testing.T) {
	models := writeFile(t, "model-data.json", modelData)
	observations := writeFile(t, "o.jsonl", `{"model": "other", "accelerator": "H100", "itl_ms": 3}`)
	out, err := tuneWith(t, "--model-data", models, "--observations", observations, "-o", "jsonl")
	if err != nil || !strings.Contains(out, `"accepted":false,"reason":"the model data do not hold other on H100"`) {
		t.Errorf("%v: %s", err, out)
	}
}

func TestTuneRefusesBadInput(t *testing.T) {
	models := writeFile(t, "model-data.json", modelData)
	observations := writeFile(t, "o.jsonl", `{"model": "m", "accelerator": "A", "itl": 3}`)
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"nothing given":  {nil, []string{"--model-data: is missing", "--observations: is missing"}},
		"unknown values": {[]string{"--estimator", "x", "-o", "y"}, []string{`unknown name "x"`, `"y" is not allowed`}},
		"unknown field":  {[]string{"--model-data", models, "--observations", observations}, []string{"o.jsonl:1", "itl"}},
		"bad models":     {[]string{"--model-data", observations, "--observations", observations}, []string{"unknown field"}},
		"no such file":   {[]string{"--model-data", "no-such-file", "--observations", observations}, []string{"no-such-file"}},
		"bad law": {
			[]string{"--model-data", writeFile(t, "m.json", strings.Replace(modelData, "16", "-16", 1)), "--observations", experiment},
			[]string{"alpha: -16"},
		},
		"options": {
			[]string{"--model-data", models, "--observations", experiment, "--estimator-options", `{"gate": 0}`}, []string{"gate: 0 is not allowed"},
		},
	} {
		_, err := tuneWith(t, c.args...)
		if _, bad := err.(badInput); !bad {
			t.Errorf("%s: error %v is not one of input", name, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error does not hold %q:\n%v", name, want, err)
			}
		}
	}
}

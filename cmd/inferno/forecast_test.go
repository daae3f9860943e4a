package main

import (
	"encoding/csv"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const productionTrace = "../../test/data/traces/servegen-m-mid-14d.csv"

// runForecast gives the lines of the output below the header.
func runForecast(t *testing.T, args ...string) ([][]string, error) {
	t.Helper()
	cmd := newForecastCommand()
	var out strings.Builder
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(args)
	if err := cmd.Execute(); err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(strings.NewReader(out.String())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"seconds", "horizon", "forecast", "quantile"}, rows[0]); d != "" {
		t.Fatal(d)
	}
	return rows[1:], nil
}

func TestForecastOfEveryWindowFromDayFour(t *testing.T) {
	rows, err := runForecast(t, "--data", productionTrace, "--horizon", "600,7200", "--quantile", "0.9")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(productionTrace)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, line := range strings.Split(strings.TrimSpace(string(content)), "\n")[1:] {
		at, _, _ := strings.Cut(line, ",")
		if seconds, err := strconv.Atoi(at); err == nil && seconds >= 3*86400 {
			want = append(want, at+" 600", at+" 7200")
		}
	}
	var got []string
	for _, r := range rows {
		got = append(got, r[0]+" "+r[1])
		for _, text := range r[2:] {
			if x, err := strconv.ParseFloat(text, 64); err != nil || !(x > 0) || math.IsInf(x, 0) {
				t.Fatalf("%v: %q", r, text)
			}
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// Cutting the trace off changes no forecast made before: none knows the future.
func TestForecastKnowsThePastOnly(t *testing.T) {
	content, err := os.ReadFile(productionTrace)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(content), "\n")
	// The windows after the cut stay, but what they say is replaced by nonsense.
	const cut = 900
	for i := cut; i < len(lines) && lines[i] != ""; i++ {
		at, _, _ := strings.Cut(lines[i], ",")
		lines[i] = at + ",1,1,1,1\n"
	}
	file := filepath.Join(t.TempDir(), "cut.csv")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	last, _, _ := strings.Cut(lines[cut-1], ",")
	until, err := strconv.ParseFloat(last, 64)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"none", "holt", "holt-winters", "adaptive"} {
		whole, err := runForecast(t, "--data", productionTrace, "--forecaster", name, "--horizon", "1800")
		if err != nil {
			t.Fatal(err)
		}
		other, err := runForecast(t, "--data", file, "--forecaster", name, "--horizon", "1800")
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range whole {
			at, err := strconv.ParseFloat(r[0], 64)
			if err != nil {
				t.Fatal(err)
			}
			if same := cmp.Equal(r, other[i]); at-1800 <= until && !same {
				t.Fatalf("%s: %v with the rest of the trace, %v without", name, r, other[i])
			}
		}
	}
}

func TestForecastRefuses(t *testing.T) {
	short := filepath.Join(t.TempDir(), "short.csv")
	if err := os.WriteFile(short, []byte("seconds,request_rate_per_s\n0,1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "--data must be given"},
		{[]string{"--data", "nowhere.csv"}, "nowhere.csv"},
		{[]string{"--data", short}, "1 windows, want two or more"},
		{[]string{"--data", productionTrace, "--horizon", "60"}, "--horizon: 60, want 600"},
		{[]string{"--data", productionTrace, "--quantile", "1"}, "--quantile: 1, want above 0 and below 1"},
		{[]string{"--data", productionTrace, "--forecaster", "oracle"}, `unknown name "oracle"`},
	} {
		_, err := runForecast(t, c.args...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: error %v, want %q", c.args, err, c.want)
		}
		if !errors.As(err, &badInput{}) {
			t.Errorf("%v: %v is not bad input", c.args, err)
		}
	}
}

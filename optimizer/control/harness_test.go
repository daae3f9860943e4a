package control_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

type core = control.Decision

// decided is a decision, and what is written down of it.
type decided struct {
	*core
	specification.Decision
}

// at is a snapshot of a system at so many seconds.
func at(s *jsonspec.System, seconds int64) *specification.Snapshot {
	return &specification.Snapshot{Time: metav1.NewMicroTime(time.Unix(seconds, 0)), System: *s}
}

func stages(t testing.TB, s *jsonspec.System) *control.Stages {
	t.Helper()
	st, err := control.NewStages(&s.Optimizer.Spec)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// decideOn a snapshot with the stages of its system.
func decideOn(t testing.TB, snap *specification.Snapshot, state control.State) *decided {
	t.Helper()
	d, err := stages(t, &snap.System).Decide(context.Background(), snap.Core(), state, nil)
	if err != nil {
		t.Fatal(err)
	}
	return report(&snap.System, d)
}

func report(s *jsonspec.System, d *core) *decided {
	return &decided{d, *specification.Report(s, &d.Decision)}
}

func decide(t testing.TB, s *jsonspec.System, state control.State) *decided {
	t.Helper()
	return decideOn(t, at(s, 1000), state)
}

// written is a decision with its state, byte for byte.
func written(t testing.TB, d *decided) string {
	t.Helper()
	data, err := json.Marshal(struct {
		specification.Decision
		State control.State
	}{d.Decision, d.State})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

package controlplane

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// shell returns a process that runs a shell script, and a function that returns the types of its events so far.
func shell(t *testing.T, script string) (*Process, func() []EventType) {
	t.Helper()
	var mu sync.Mutex
	var events []EventType
	p := &Process{
		Name: "script", Path: "/bin/sh", Args: []string{"-c", script},
		Log: filepath.Join(t.TempDir(), "script.log"),
		Report: func(e Event) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, e.Type)
		},
	}
	t.Cleanup(p.Stop)
	return p, func() []EventType {
		mu.Lock()
		defer mu.Unlock()
		return append([]EventType(nil), events...)
	}
}

// eventually fails the test if the condition does not come true in good time.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if condition() {
			return
		}
	}
	t.Fatalf("not within a minute: %s", what)
}

func isRunning(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestProcessStartsAndStops(t *testing.T) {
	p, events := shell(t, "exec sleep 1000")
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	pid := p.PID()
	if !isRunning(pid) {
		t.Fatalf("process %d does not run after Start", pid)
	}
	p.Stop()
	if isRunning(pid) {
		t.Errorf("process %d runs after Stop", pid)
	}
	if got := events(); len(got) != 2 || got[0] != Ready || got[1] != Stopped {
		t.Errorf("events are %v, want [ready stopped]", got)
	}
	p.Stop() // and again
	if err := p.Start(t.Context()); err != nil {
		t.Fatalf("started again: %v", err)
	}
	if err := p.Start(t.Context()); err == nil {
		t.Error("started while it runs")
	}
}

func TestProcessIsRestartedWhenKilled(t *testing.T) {
	p, events := shell(t, "exec sleep 1000")
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := p.PID()
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another process runs", func() bool { return p.PID() != 0 && p.PID() != before })
	eventually(t, "it is ready", func() bool { e := events(); return e[len(e)-1] == Ready })
	if got := p.Restarts(); got != 1 {
		t.Errorf("Restarts() = %d, want 1", got)
	}
	if got := events(); len(got) != 3 || got[1] != Died {
		t.Errorf("events are %v, want [ready died ready]", got)
	}
}

func TestProcessThatExitsBeforeItIsReady(t *testing.T) {
	p, events := shell(t, "echo unknown flag: --nonsense; exit 3")
	p.Ready = func(context.Context) error { return errors.New("never") }
	err := p.Start(t.Context())
	if err == nil {
		t.Fatal("Start succeeded, want an error")
	}
	for _, want := range []string{"script", "exit status 3", "unknown flag: --nonsense"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	if got := events(); len(got) != 0 {
		t.Errorf("events are %v, want none: it was never up", got)
	}
}

func TestProcessThatIsNeverReady(t *testing.T) {
	p, _ := shell(t, "exec sleep 1000")
	p.Ready = func(context.Context) error { return errors.New("never") }
	p.StartTimeout = 200 * time.Millisecond
	if err := p.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "not ready after 200ms") {
		t.Fatalf("Start returned %v, want an error that says how long it waited", err)
	}
	if pid := p.PID(); pid != 0 {
		t.Errorf("process %d was left running", pid)
	}
}

func TestProcessStartEndsWithItsContext(t *testing.T) {
	p, _ := shell(t, "exec sleep 1000")
	p.Ready = func(context.Context) error { return errors.New("never") }
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Start(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("Start returned %v, want context.Canceled", err)
	}
}

func TestProcessWithoutExecutable(t *testing.T) {
	p := &Process{Name: "nothing", Path: filepath.Join(t.TempDir(), "nothing")}
	if err := p.Start(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("Start returned %v, want os.ErrNotExist", err)
	}
}

func TestProcessThatIgnoresSIGTERMIsKilled(t *testing.T) {
	p, _ := shell(t, "trap '' TERM; echo trapped; while :; do sleep 0.1; done")
	p.StopTimeout = 100 * time.Millisecond
	p.Ready = func(context.Context) error {
		log, err := os.ReadFile(p.Log)
		if err == nil && !strings.Contains(string(log), "trapped") {
			err = errors.New("not trapped yet")
		}
		return err
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	pid := p.PID()
	p.Stop()
	if isRunning(pid) {
		t.Errorf("process %d survived Stop", pid)
	}
}

func TestReadinessProbeWantsStatus200(t *testing.T) {
	for status, ready := range map[int]bool{200: true, 201: false, 204: false, 301: false, 401: false, 500: false} {
		server := statusServer(t, status)
		if err := HTTPReady(server, nil)(t.Context()); (err == nil) != ready {
			t.Errorf("status %d: the probe returned %v, want ready = %v", status, err, ready)
		}
	}
}

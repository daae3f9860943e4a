package controlplane

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Defaults of a [Process].
const (
	defaultStartTimeout = 5 * time.Minute
	defaultStopTimeout  = 10 * time.Second

	probeInterval = 100 * time.Millisecond
	probeTimeout  = 2 * time.Second

	firstBackoff   = 100 * time.Millisecond
	longestBackoff = 5 * time.Second
	// A process that ran this long had recovered, so its next death starts over with the first back-off.
	steadyAfter = 10 * time.Second

	// What an error about a process quotes from the end of its log.
	logTailLines = 8
	logTailBytes = 4096
)

// Process is a program under supervision: started, probed until it is ready, restarted whenever it dies, and ended with
// its supervisor. Fill in the exported fields, then call Start and in the end Stop; after Stop it can be started again.
type Process struct {
	Name string   // names the process in events and errors
	Path string   // of the executable
	Args []string // without the program name
	Env  []string // added to the environment of this process, "KEY=value"
	Dir  string   // working directory; the current one if empty

	// Log is the file that standard output and standard error are appended to, over restarts too. Empty discards them.
	Log string

	// Ready is asked repeatedly after each start until it returns nil. A process without it is ready once it runs.
	Ready func(context.Context) error

	StartTimeout time.Duration // until the first readiness; five minutes if zero, for a slow machine: what is broken exits by itself
	StopTimeout  time.Duration // between SIGTERM and SIGKILL; 10 s if zero

	// Report receives what happens to the process, one event at a time. It must not call Stop.
	Report func(Event)

	mu       sync.Mutex
	pid      int
	restarts int

	life sync.Mutex // held by Start and by Stop
	stop context.CancelFunc
	done chan struct{} // closed when the supervisor has ended, with the process; nil when there is none
}

// EventType says what happened to a process.
type EventType string

// The events in the life of a process: Ready follows every start, Died is followed by Ready when the restart succeeded.
const (
	Ready   EventType = "ready"
	Died    EventType = "died"
	Stopped EventType = "stopped"
)

// Event is one step in the life of a process.
type Event struct {
	Process string
	Type    EventType
	PID     int
	Err     error         // why it died
	Backoff time.Duration // how long after Died it is started again
	After   time.Duration // from start to Ready, or to the end
}

func (e Event) String() string {
	after := e.After.Round(10 * time.Millisecond)
	switch e.Type {
	case Ready:
		return fmt.Sprintf("%s is ready (pid %d, %v)", e.Process, e.PID, after)
	case Died:
		return fmt.Sprintf("%s died after %v (pid %d: %v), restarting in %v", e.Process, after, e.PID, e.Err, e.Backoff)
	default:
		return fmt.Sprintf("%s %s (pid %d)", e.Process, e.Type, e.PID)
	}
}

// Start starts the process and waits until it is ready. A process that exits before it was ever ready is taken to be
// misconfigured: Start then returns an error that quotes the end of its log. The context bounds the start alone; once
// Start has returned nil, the process runs, over as many restarts as it takes, until Stop.
func (p *Process) Start(ctx context.Context) error {
	p.life.Lock()
	defer p.life.Unlock()
	if p.done != nil {
		return fmt.Errorf("%s: is running already", p.Name)
	}
	supervise, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	p.stop, p.done = stop, done

	ctx, cancel := context.WithTimeoutCause(ctx, cmp.Or(p.StartTimeout, defaultStartTimeout),
		fmt.Errorf("not ready after %v", cmp.Or(p.StartTimeout, defaultStartTimeout)))
	defer cancel()

	first := make(chan error, 1)
	go func() {
		defer close(done)
		p.supervise(supervise, first)
	}()
	var err error
	select {
	case err = <-first:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		p.end()
		return fmt.Errorf("%s: %w%s", p.Name, err, p.logTail())
	}
	return nil
}

// Stop ends the process with SIGTERM, and with SIGKILL when it takes too long, and waits until it is gone. A process
// that does not run is stopped already.
func (p *Process) Stop() {
	p.life.Lock()
	defer p.life.Unlock()
	if p.done != nil {
		p.end()
	}
}

func (p *Process) end() {
	p.stop()
	<-p.done
	p.done = nil
}

// PID returns the process id of the present incarnation, or 0 between two of them.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pid
}

// Restarts returns how often the process was started again after it died.
func (p *Process) Restarts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.restarts
}

// supervise runs the process again and again until the context ends. The first incarnation reports on first whether it
// became ready; if it exits instead, supervision ends with it. Every event is reported from here, in order.
func (p *Process) supervise(ctx context.Context, first chan<- error) {
	// The parent-death signal follows the thread that started the child, so that thread has to live as long.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	backoff := firstBackoff
	for run := 0; ; run++ {
		started := time.Now()
		onReady := func() {
			if run == 0 {
				first <- nil
			}
		}
		wasReady, err := p.runOnce(ctx, onReady)
		if ctx.Err() != nil {
			return
		}
		if run == 0 && !wasReady {
			first <- err
			return
		}
		lived := time.Since(started)
		if lived > steadyAfter {
			backoff = firstBackoff
		}
		p.report(Event{Type: Died, PID: p.PID(), Err: err, Backoff: backoff, After: lived})
		p.setPID(0)
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
			return
		}
		backoff = min(2*backoff, longestBackoff)
		p.mu.Lock()
		p.restarts++
		p.mu.Unlock()
	}
}

// runOnce runs one incarnation to its end, which is its own or the end of the context, and says whether it had become
// ready. The error says how it ended and is never nil.
func (p *Process) runOnce(ctx context.Context, onReady func()) (wasReady bool, err error) {
	var log io.WriteCloser
	if p.Log != "" {
		if log, err = os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
			return false, err
		}
		defer log.Close()
	}
	cmd := exec.Command(p.Path, p.Args...)
	cmd.Dir, cmd.Env = p.Dir, append(os.Environ(), p.Env...)
	if log != nil {
		cmd.Stdout, cmd.Stderr = log, log
	}
	cmd.SysProcAttr = childAttributes()
	started := time.Now()
	if err := cmd.Start(); err != nil {
		return false, err
	}
	p.setPID(cmd.Process.Pid)

	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	probing, stopProbing := context.WithCancel(ctx)
	defer stopProbing()
	ready := make(chan struct{})
	go p.probe(probing, ready)

	for {
		select {
		case <-ready:
			ready, wasReady = nil, true
			p.report(Event{Type: Ready, PID: cmd.Process.Pid, After: time.Since(started)})
			onReady()
		case err := <-exited:
			return wasReady, cmp.Or(err, errors.New("exit status 0"))
		case <-ctx.Done():
			p.terminate(cmd, exited)
			p.report(Event{Type: Stopped, PID: cmd.Process.Pid, After: time.Since(started)})
			p.setPID(0)
			return wasReady, ctx.Err()
		}
	}
}

// probe closes ready once the process answers its readiness probe.
func (p *Process) probe(ctx context.Context, ready chan<- struct{}) {
	for p.Ready != nil {
		attempt, cancel := context.WithTimeout(ctx, probeTimeout)
		err := p.Ready(attempt)
		cancel()
		if err == nil {
			break
		}
		select {
		case <-time.After(probeInterval):
		case <-ctx.Done():
			return
		}
	}
	if ctx.Err() == nil {
		close(ready)
	}
}

func (p *Process) terminate(cmd *exec.Cmd, exited <-chan error) {
	_ = cmd.Process.Signal(syscall.SIGTERM) // fails only when the process is gone
	select {
	case <-exited:
	case <-time.After(cmp.Or(p.StopTimeout, defaultStopTimeout)):
		_ = cmd.Process.Kill()
		<-exited
	}
}

func (p *Process) setPID(pid int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pid = pid
}

func (p *Process) report(e Event) {
	if p.Report != nil {
		e.Process = p.Name
		p.Report(e)
	}
}

// logTail returns the last lines of the log, indented below a line that names the file; empty when there are none.
func (p *Process) logTail() string {
	data, err := readTail(p.Log, logTailBytes)
	if err != nil || len(bytes.TrimSpace(data)) == 0 {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	lines = lines[max(0, len(lines)-logTailLines):]
	return fmt.Sprintf("\n  the last lines of %s:\n    %s", p.Log, strings.Join(lines, "\n    "))
}

// readTail returns up to the last size bytes of a file.
func readTail(path string, size int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-size), size))
}

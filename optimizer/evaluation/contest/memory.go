package contest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/evaluation/policy"
)

// Memory holds outcomes of alternatives and schedules, so that a search does not play them again. They depend on the scenario, the simulator and
// the alternatives: a memory is to be thrown away when one of the latter two changes. What runs the decision core is not remembered. The nil
// Memory remembers nothing.
type Memory struct {
	mu       sync.Mutex
	outcomes map[string]*Outcome
}

// NewMemory remembers nothing yet.
func NewMemory() *Memory { return &Memory{outcomes: map[string]*Outcome{}} }

// ReadMemory reads what an earlier contest wrote; a file that does not exist is an empty memory.
func ReadMemory(file string) (*Memory, error) {
	m := NewMemory()
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &m.outcomes)
	}
	if err != nil {
		return nil, fmt.Errorf("memory of outcomes: %w", err)
	}
	return m, nil
}

// Write the memory to a file.
func (m *Memory) Write(file string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, err := json.Marshal(m.outcomes)
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, data, 0o644))
}

// recall the outcome of a run, or play it.
func (m *Memory) recall(f *policy.Fleet, what string, run func() (*Outcome, error)) (*Outcome, error) {
	if m == nil {
		return run()
	}
	key, err := keyOf(f, what)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	known := m.outcomes[key]
	m.mu.Unlock()
	if known != nil {
		copied := *known
		return &copied, nil
	}
	o, err := run()
	if err != nil {
		return nil, err
	}
	copied := *o
	copied.reports = nil
	m.mu.Lock()
	m.outcomes[key] = &copied
	m.mu.Unlock()
	return o, nil
}

// keyOf a run: the scenario but for the options of the decision core, and what plays it.
func keyOf(f *policy.Fleet, what string) (string, error) {
	s := *f.Scenario
	s.System.Optimizer = jsonspec.OptimizerData{}
	data, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	digest := sha256.Sum256(append(data, what...))
	return s.Name + " " + what + " " + hex.EncodeToString(digest[:8]), nil
}

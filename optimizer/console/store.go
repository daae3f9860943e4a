// Package console serves a web page that shows cycles: the fleet, the plan, why, and what if. It reads and never writes, and asks nobody but whom it
// was given: a decision log, a simulation, a cluster.
package console

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/forecast"
	"github.com/llm-inferno/inferno/optimizer/loop"
	"github.com/llm-inferno/inferno/optimizer/view"
)

// Source is what cycles are from.
type Source struct {
	// Kind is one of the kinds below, Name is which one, for people.
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Live says that cycles still come.
	Live bool `json:"live"`
	// Unread says what could not be read of it.
	Unread []string `json:"unread,omitempty"`
}

// Kinds of sources.
const (
	KindCluster  = "cluster"
	KindLog      = "decision log"
	KindScenario = "scenario"
)

// Store holds what is known of cycles. It is safe for concurrent use: a source adds, the page reads.
type Store struct {
	mu      sync.RWMutex
	source  Source
	entries []entry
	index   map[string]int
	history history
	// keep is how many servers of cycles are held in memory, over all cycles; 0 is no bound.
	keep, kept int
}

// entry is one cycle.
type entry struct {
	view.Summary
	cycle *view.Cycle
	// read it again where it is not held; nil where it cannot be.
	read func() (*view.Cycle, error)
}

// NewStore for a source. Of cycles that cannot be read again it holds so many servers in all, the newest; 0 for all.
func NewStore(s Source, keep int) *Store {
	most := mostSamples
	if keep > 0 {
		most = min(most, samplesEach*keep)
	}
	return &Store{source: s, index: map[string]int{}, history: history{servers: map[string][]sample{}, names: map[string]uint32{}, most: most}, keep: keep}
}

// FromRecord is the cycle of a record of the loop.
func FromRecord(r *loop.Record) *view.Cycle {
	return &view.Cycle{ID: r.ID, Snapshot: &r.Snapshot, State: r.State, Decision: r.Decision}
}

// Add a cycle that happened.
func (s *Store) Add(c *view.Cycle) { s.add(c, nil) }

// add a cycle. Where it can be read again it is not held.
func (s *Store) add(c *view.Cycle, read func() (*view.Cycle, error)) {
	f := view.NewFleet(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := entry{Summary: f.Summary, read: read}
	for k := 2; s.has(e.ID); k++ {
		e.ID = c.ID + "#" + strconv.Itoa(k)
	}
	if read == nil {
		e.cycle = c
		s.kept += len(f.Servers)
	}
	s.index[e.ID] = len(s.entries)
	s.entries = append(s.entries, e)
	for i := 0; s.keep > 0 && s.kept > s.keep && i < len(s.entries)-1; i++ {
		if s.entries[i].cycle != nil {
			s.kept -= s.entries[i].Servers
			s.entries[i].cycle = nil
		}
	}
	s.history.add(len(s.entries)-1, f)
}

func (s *Store) has(id string) bool {
	_, known := s.index[id]
	return known
}

// Say replaces what is said of the source.
func (s *Store) Say(change func(*Source)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.source)
}

// about the source, the number of cycles, and the newest; nil where there is none.
func (s *Store) about() (Source, int, *view.Summary) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.entries) == 0 {
		return s.source, 0, nil
	}
	last := s.entries[len(s.entries)-1].Summary
	return s.source, len(s.entries), &last
}

// summaries of the cycles from an index on.
func (s *Store) summaries(from int) []view.Summary {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := []view.Summary{}
	for i := max(from, 0); i < len(s.entries); i++ {
		list = append(list, s.entries[i].Summary)
	}
	return list
}

// notFound is an error about a name that there is not.
type notFound struct{ error }

// cycle by its ID, the newest for "".
func (s *Store) cycle(id string) (*view.Cycle, error) {
	s.mu.RLock()
	i, known := s.index[id]
	if id == "" {
		i, known = len(s.entries)-1, len(s.entries) > 0
	}
	if !known {
		s.mu.RUnlock()
		if id == "" {
			return nil, notFound{fmt.Errorf("no cycle has been read yet")}
		}
		return nil, notFound{fmt.Errorf("cycle %q does not exist", id)}
	}
	e := s.entries[i]
	s.mu.RUnlock()
	if e.cycle != nil {
		return e.cycle, nil
	}
	if e.read == nil {
		return nil, notFound{fmt.Errorf("cycle %q is no longer held: only the newest are, of others the sums", e.ID)}
	}
	c, err := e.read()
	if err != nil {
		return nil, fmt.Errorf("cycle %q: %w", e.ID, err)
	}
	c.ID = e.ID
	return c, nil
}

// mostSamples of all servers together that are held.
//
// Tuned: samples; guard against a history that fills the memory: at 48 bytes some 100 MB
const mostSamples = 2 << 20

// samplesEach is how many samples are held for each server of a cycle that is.
//
// Tuned: samples; guard against a history that takes more memory than the cycles: it takes a fifth of theirs
const samplesEach = 40

// recent samples of a server stay when older ones are thinned out.
//
// Tuned: samples; guard against a history that has no last hour
const recent = 128

// sample is one server in one cycle. What is not known is NaN.
type sample struct {
	entry                                              int32
	load, ttft, itl, predictedTTFT, predictedITL, cost float32
	replicas, ready                                    uint16
	runsOn                                             uint32
}

// history of all servers. Where it grows too long every other of the older samples goes.
type history struct {
	servers map[string][]sample
	// texts that samples refer to, and where each is.
	texts []string
	names map[string]uint32
	total int
	most  int
}

func (h *history) text(s string) uint32 {
	i, known := h.names[s]
	if !known {
		i = uint32(len(h.texts))
		h.names[s], h.texts = i, append(h.texts, s)
	}
	return i
}

func number(p *float64) float32 {
	if p == nil {
		return float32(math.NaN())
	}
	return float32(*p)
}

func (h *history) add(entry int, f *view.Fleet) {
	for i := range f.Servers {
		r := &f.Servers[i]
		x := sample{
			entry: int32(entry), load: float32(math.NaN()), ttft: number(r.TTFT.Measured), itl: number(r.ITL.Measured), predictedTTFT: number(r.TTFT.Predicted),
			predictedITL: number(r.ITL.Predicted), cost: float32(r.Cost), replicas: uint16(min(r.Replicas, math.MaxUint16)), ready: uint16(min(r.Ready, math.MaxUint16)),
			runsOn: h.text(words(r.Parts)),
		}
		if r.Load != nil {
			x.load = float32(r.Load.ArrivalRate)
		}
		h.servers[r.Name] = append(h.servers[r.Name], x)
		h.total++
	}
	if h.total > h.most {
		h.thin()
	}
}

func (h *history) thin() {
	h.total = 0
	for name, list := range h.servers {
		old := max(len(list)-recent, 0)
		var kept []sample
		for i := range list {
			if i >= old || i%2 == 0 {
				kept = append(kept, list[i])
			}
		}
		h.servers[name] = kept
		h.total += len(kept)
	}
	// Many servers with a short history each have nothing to thin out: there is no more history of them than this.
	h.most = max(h.most, 2*h.total)
}

// words for parts of a plan, such as "3 × A100 + 2 × L4".
func words(parts []jsonspec.AllocationPart) string {
	var list []string
	for _, p := range parts {
		if p.Replicas > 0 {
			list = append(list, fmt.Sprintf("%d × %s", p.Replicas, p.Accelerator))
		}
	}
	return strings.Join(list, " + ")
}

// samplesOf a server to a cycle, or all where there is no such cycle.
func (s *Store) samplesOf(server, until string) []sample {
	list := s.history.servers[server]
	if last, known := s.index[until]; known {
		end, _ := slices.BinarySearchFunc(list, int32(last)+1, func(x sample, to int32) int { return int(x.entry) - int(to) })
		list = list[:end]
	}
	return list
}

// loads of a server to a cycle, as forecasters take them.
func (s *Store) loads(server, until string) []forecast.Sample {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []forecast.Sample
	for _, x := range s.samplesOf(server, until) {
		if !math.IsNaN(float64(x.load)) {
			list = append(list, forecast.Sample{Time: jsonspec.Seconds(float64(s.entries[x.entry].Time)), Rate: jsonspec.PerSecond(float64(x.load))})
		}
	}
	return list
}

// History of one server, in columns. What is not known is null. Units are those of the view.
type History struct {
	Cycle         []string   `json:"cycle"`
	Time          []int64    `json:"time"`
	Load          []*float32 `json:"load"`
	TTFT          []*float32 `json:"ttft"`
	PredictedTTFT []*float32 `json:"predictedTTFT"`
	ITL           []*float32 `json:"itl"`
	PredictedITL  []*float32 `json:"predictedITL"`
	Cost          []*float32 `json:"cost"`
	Replicas      []uint16   `json:"replicas"`
	Ready         []uint16   `json:"ready"`
	RunsOn        []string   `json:"runsOn"`
}

// historyOf a server, to a cycle if one is named, of at most so many of the newest samples.
func (s *Store) historyOf(server, until string, most int) *History {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := s.samplesOf(server, until)
	list = list[max(len(list)-most, 0):]
	known := func(x float32) *float32 {
		if math.IsNaN(float64(x)) {
			return nil
		}
		return &x
	}
	h := &History{
		Cycle: []string{}, Time: []int64{}, Load: []*float32{}, TTFT: []*float32{}, PredictedTTFT: []*float32{}, ITL: []*float32{}, PredictedITL: []*float32{}, Cost: []*float32{},
		Replicas: []uint16{}, Ready: []uint16{}, RunsOn: []string{},
	}
	for _, x := range list {
		e := &s.entries[x.entry]
		h.Cycle, h.Time = append(h.Cycle, e.ID), append(h.Time, e.Time)
		h.Load, h.Cost = append(h.Load, known(x.load)), append(h.Cost, known(x.cost))
		h.TTFT, h.PredictedTTFT = append(h.TTFT, known(x.ttft)), append(h.PredictedTTFT, known(x.predictedTTFT))
		h.ITL, h.PredictedITL = append(h.ITL, known(x.itl)), append(h.PredictedITL, known(x.predictedITL))
		h.Replicas, h.Ready = append(h.Replicas, x.replicas), append(h.Ready, x.ready)
		h.RunsOn = append(h.RunsOn, s.history.texts[x.runsOn])
	}
	return h
}

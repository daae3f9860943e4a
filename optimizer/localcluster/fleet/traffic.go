package fleet

import (
	"errors"
	"fmt"

	"github.com/llm-inferno/inferno/optimizer/simulation/trace"
)

// stream is a trace on its way to the servers.
type stream struct {
	source   *trace.Source
	splitter *trace.Splitter
	offset   float64 // of the trace's begin, s

	next   trace.Arrival
	server string
	over   bool
}

// newStreams starts the traffic at the given time.
func newStreams(traffic []Traffic, servers map[string]*server, seed uint64, at float64) ([]*stream, error) {
	var streams []*stream
	var faults []error
	for i, t := range traffic {
		s, err := newStream(t, servers, seed+uint64(i), at)
		if err != nil {
			faults = append(faults, fmt.Errorf("traffic[%d]: %w", i, err))
			continue
		}
		streams = append(streams, s)
	}
	return streams, errors.Join(faults...)
}

func newStream(t Traffic, servers map[string]*server, seed uint64, at float64) (*stream, error) {
	var faults []error
	for _, share := range t.Shares {
		if _, known := servers[share.Server]; !known {
			faults = append(faults, fmt.Errorf("share of %q: is not a server (namespace/name) of the fleet", share.Server))
		}
	}
	splitter, err := trace.NewSplitter(t.Shares, seed)
	faults = append(faults, err)
	if t.Trace == nil {
		return nil, errors.Join(append(faults, errors.New("trace: missing"))...)
	}
	source, err := t.Trace.Replay(t.Options)
	if err := errors.Join(append(faults, err)...); err != nil {
		return nil, err
	}
	s := &stream{source: source, splitter: splitter, offset: at}
	s.advance()
	return s, nil
}

func (s *stream) advance() {
	arrival, ok := s.source.Next()
	arrival.At += s.offset
	s.next, s.over = arrival, !ok
	if ok {
		s.server = s.splitter.Pick()
	}
}

// earliest is the stream with the next arrival up to a time, or nil.
func earliest(streams []*stream, until float64) *stream {
	var first *stream
	for _, s := range streams {
		if !s.over && s.next.At <= until && (first == nil || s.next.At < first.next.At) {
			first = s
		}
	}
	return first
}

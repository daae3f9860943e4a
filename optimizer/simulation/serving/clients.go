package serving

import (
	"container/heap"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/llm-inferno/inferno/optimizer/simulation"
)

// Clients are those who send requests. The zero value waits for ever.
type Clients struct {
	// Impatient is the share of requests whose client gives up, 0 to 1.
	Impatient float64 `json:"impatient,omitempty"`
	// Patience is how long such a client waits for its first token, s.
	Patience float64 `json:"patience,omitempty"`
	// Retries is how often it sends the request again before it gives up for good.
	Retries int `json:"retries,omitempty"`
	// Backoff is how long it waits before it does, s: doubled each time, and drawn from half of that to one and a half times.
	Backoff float64 `json:"backoff,omitempty"`
	Seed    uint64  `json:"seed,omitempty"`
	// Sessions that the requests are turns of; nil where requests have nothing to do with each other.
	Sessions *Sessions `json:"sessions,omitempty"`
}

// Sessions are conversations, or agents at work. A gateway sends the turns of one to the same replica, as far as that has no more than its share ([routing.Home]),
// and a replica finds the shared part of a prompt where it computed the turn before.
type Sessions struct {
	// Live is how many there are at a time, at least 1. Each turn is of any of them.
	Live int `json:"live"`
	// Turns that one has in the mean, at least 1. The next one is new to all replicas.
	Turns float64 `json:"turns"`
}

// maxRetries bounds a storm of a client's own making.
//
// Tuned: retries; guard against a document by mistake
const maxRetries = 100

// maxSessions bounds what is remembered of them.
//
// Tuned: sessions; guard against a document by mistake
const maxSessions = 1 << 20

// Validate reports every field out of range.
func (c Clients) Validate() error {
	var faults []error
	if !(c.Impatient >= 0 && c.Impatient <= 1) {
		faults = append(faults, fmt.Errorf("impatient: %v, want 0 to 1", c.Impatient))
	}
	if c.Impatient > 0 && !(c.Patience > 0 && !math.IsInf(c.Patience, 1)) {
		faults = append(faults, fmt.Errorf("patience: %v s, want a finite time above 0", c.Patience))
	}
	if c.Retries < 0 || c.Retries > maxRetries {
		faults = append(faults, fmt.Errorf("retries: %d, want 0 to %d", c.Retries, maxRetries))
	}
	if !(c.Backoff >= 0) || math.IsInf(c.Backoff, 1) {
		faults = append(faults, fmt.Errorf("backoff: %v s, want a finite time of at least 0", c.Backoff))
	}
	if s := c.Sessions; s != nil && (s.Live < 1 || s.Live > maxSessions || !(s.Turns >= 1 && !math.IsInf(s.Turns, 1))) {
		faults = append(faults, fmt.Errorf("sessions: %d live of %v turns, want 1 to %d and a finite number of at least 1", s.Live, s.Turns, maxSessions))
	}
	return errors.Join(faults...)
}

// attempt is a request that an impatient client sent, or will send again.
type attempt struct {
	at      float64 // when the client gives up, or sends again
	resend  bool
	number  int // how often it was sent before
	request simulation.Request
}

// crowd is the impatient clients, by what they do next.
type crowd struct {
	Clients
	random *rand.Rand
	next   attempts

	sessions []uint64 // that are live, by number
	begun    uint64
}

func newCrowd(c Clients) *crowd {
	all := &crowd{Clients: c, random: rand.New(rand.NewPCG(c.Seed, 7))}
	if c.Sessions != nil {
		all.sessions = make([]uint64, c.Sessions.Live)
		for i := range all.sessions {
			all.sessions[i] = all.begin()
		}
	}
	return all
}

// begin a session.
func (c *crowd) begin() uint64 {
	c.begun++
	return c.begun
}

// turn says whose turn the next request is; 0 without sessions.
func (c *crowd) turn() uint64 {
	if c.Sessions == nil {
		return 0
	}
	i := c.random.IntN(len(c.sessions))
	turn := c.sessions[i]
	if c.random.Float64() < 1/c.Sessions.Turns {
		c.sessions[i] = c.begin()
	}
	return turn
}

// sent notes a request, the n-th time that its client sends it.
func (c *crowd) sent(at float64, number int, request simulation.Request) {
	if c.Impatient > 0 && (number > 0 || c.random.Float64() < c.Impatient) {
		heap.Push(&c.next, attempt{at: at + c.Patience, number: number, request: request})
	}
}

// again notes that a client that gave up will send once more; false where it gave up for good.
func (c *crowd) again(a attempt) bool {
	if a.number >= c.Retries {
		return false
	}
	wait := c.Backoff * math.Pow(2, float64(a.number)) * (0.5 + c.random.Float64())
	heap.Push(&c.next, attempt{at: a.at + wait, resend: true, number: a.number + 1, request: a.request})
	return true
}

// due is the next that happens by a time.
func (c *crowd) due(by float64) (attempt, bool) {
	if len(c.next) == 0 || c.next[0].at > by {
		return attempt{}, false
	}
	return heap.Pop(&c.next).(attempt), true
}

// attempts by time, the same whatever their order of insertion.
type attempts []attempt

func (a attempts) Len() int { return len(a) }
func (a attempts) Less(i, j int) bool {
	if a[i].at != a[j].at {
		return a[i].at < a[j].at
	}
	return a[i].request.ID < a[j].request.ID
}
func (a attempts) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *attempts) Push(x any)   { *a = append(*a, x.(attempt)) }
func (a *attempts) Pop() any {
	last := len(*a) - 1
	x := (*a)[last]
	*a = (*a)[:last]
	return x
}

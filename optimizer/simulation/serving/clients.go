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
}

// maxRetries bounds a storm of a client's own making.
//
// Tuned: retries; guard against a document by mistake
const maxRetries = 100

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
}

func newCrowd(c Clients) *crowd {
	return &crowd{Clients: c, random: rand.New(rand.NewPCG(c.Seed, 7))}
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

package observe

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// Counted is what Prometheus answers about the counter that a Server names.
type Counted struct {
	// Rate in requests per second, where Known; a counter without series is not known.
	Rate  float64
	Known bool
	// Err says why it could not be asked, or did not answer.
	Err error
}

// Counters asks for the counters that Servers name. What stands in a Server is written by whoever may write in its namespace, hence nobody's
// question holds another's text, and nobody waits long for another's answer.
type Counters struct {
	// took is how long the questions of a namespace took when they were last asked, or what is left of when they took longer.
	took map[string]time.Duration
}

// patience is the share of the time left that one question gets, and its namespace with it where it does not answer.
//
// Tuned: share; guard against a counter that never answers; at half: an answer within an eighth of the time is asked of a slow Prometheus; at twice: two such
// namespaces on each of the connections take all the time of the others in the first cycle
const patience = 0.25

// Read the counters of the Servers.
func (c *Counters) Read(ctx context.Context, source *Source, servers []v1alpha1.Server, now time.Time, window time.Duration) map[types.NamespacedName]Counted {
	asking := inTurns(servers, c.took)
	if len(asking) == 0 {
		return nil
	}
	longest := defaultPatience
	if deadline, bounded := ctx.Deadline(); bounded {
		longest = time.Duration(patience * float64(time.Until(deadline)))
	}
	answers := map[types.NamespacedName]Counted{}
	took, given := map[string]time.Duration{}, map[string]error{}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(concurrentQueries)
	for _, s := range asking {
		g.Go(func() error {
			mu.Lock()
			err := given[s.Namespace]
			mu.Unlock()
			answer, began := Counted{Err: err}, time.Now()
			if err == nil {
				answer = count(ctx, source, s, now, window, longest)
			}
			mu.Lock()
			defer mu.Unlock()
			answers[types.NamespacedName{Namespace: s.Namespace, Name: s.Name}] = answer
			took[s.Namespace] += time.Since(began)
			if took[s.Namespace] >= longest && answer.Err != nil && given[s.Namespace] == nil {
				given[s.Namespace] = fmt.Errorf("not asked for: that of the Server %s in this namespace took over %s", s.Name, longest.Round(time.Millisecond))
			}
			return nil
		})
	}
	_ = g.Wait() // every fault is an answer
	for namespace, before := range c.took {
		if _, asked := took[namespace]; asked {
			took[namespace] = max(took[namespace], before/2)
		}
	}
	c.took = took
	return answers
}

// defaultPatience where nothing bounds the whole.
//
// Tuned: s; guard against a counter that never answers
const defaultPatience = 2500 * time.Millisecond

// inTurns are the Servers that name a counter, one of each namespace after the other, and first those of namespaces that answered soonest.
func inTurns(servers []v1alpha1.Server, took map[string]time.Duration) []*v1alpha1.Server {
	var all []*v1alpha1.Server
	for i := range servers {
		if servers[i].Spec.Arrivals != nil {
			all = append(all, &servers[i])
		}
	}
	slices.SortFunc(all, func(a, b *v1alpha1.Server) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	turn, next := map[*v1alpha1.Server]int{}, map[string]int{}
	for _, s := range all {
		turn[s] = next[s.Namespace]
		next[s.Namespace]++
	}
	slices.SortStableFunc(all, func(a, b *v1alpha1.Server) int {
		return cmp.Or(cmp.Compare(turn[a], turn[b]), cmp.Compare(took[a.Namespace], took[b.Namespace]))
	})
	return all
}

// count asks for the counter of one Server.
func count(ctx context.Context, source *Source, s *v1alpha1.Server, now time.Time, window, longest time.Duration) Counted {
	if err := specification.CheckArrivals("spec.arrivals", s.Spec.Arrivals); err != nil {
		return Counted{Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	rate := math.NaN()
	err := ask(ctx, source, model.ValVector, source.arrivalQuestion(s, window), now, func(s Series) { rate = float64(s.Values[0].Value) }) // a sum is one, or none
	if err != nil {
		return Counted{Err: err}
	}
	return Counted{Rate: rate, Known: rate >= 0}
}

// arrivalQuestion is the rate of the counter that a Server names, of those series of it that are in the Server's namespace, or where the Optimizer
// declares it as a gateway's, that are of that gateway and tell of the Server's namespace.
func (source *Source) arrivalQuestion(s *v1alpha1.Server, window time.Duration) string {
	a := s.Spec.Arrivals
	theirs := []string{matcher("__name__", "=", a.Counter)} // in quotes, for NaN is a name of a metric too
	for _, name := range slices.Sorted(maps.Keys(a.Labels)) {
		theirs = append(theirs, matcher(name, "=", string(a.Labels[name])))
	}
	sum := func(bound ...string) string {
		if source.with != "" {
			bound = append(bound, source.with)
		}
		return fmt.Sprintf("sum(max without (%s) (rate({%s}[%s])))", copies, strings.Join(append(slices.Clone(theirs), bound...), ","), model.Duration(window))
	}
	var parts []string
	for _, g := range source.gateways {
		if g.Counter == a.Counter {
			parts = append(parts, sum(matcher("namespace", "=", g.Namespace), matcher(g.Label, "=~", specification.OfNamespace(g, s.Namespace))))
		}
	}
	return strings.Join(append(parts, sum(matcher("namespace", "=", s.Namespace))), " or ")
}

// copies of a series of a counter that a Server names differ in these labels: those of who scraped it and by which monitor.
const copies = "prometheus, prometheus_replica, replica, receive, job, endpoint, service, container"

// matcher of a label in PromQL, whose strings are Go's.
func matcher(label, operator, value string) string {
	return fmt.Sprintf("%s%s%q", label, operator, value)
}

package catalogue

import (
	"math"
	"testing"
)

// What ships of instance types has a price by the card that is near the cheapest of its kind, a region, a source and a date.
func TestInstanceTypesSayTheirSource(t *testing.T) {
	for name, i := range instanceTypes() {
		if byCard := i.centsPerHour / float64(i.cards); i.cards < 1 || byCard < 50 || byCard > 2000 || i.region == "" || i.source == "" || i.date == "" {
			t.Errorf("%s: %+v", name, i)
		}
	}
}

// By the instance types of nodes, as far as they are listed, and by nothing else.
func TestPricesOnNodes(t *testing.T) {
	of := func(names ...string) (nodes []map[string]string) {
		for _, n := range names {
			nodes = append(nodes, map[string]string{"node.kubernetes.io/instance-type": n})
		}
		return nodes
	}
	if p, listed := OnNodes("H100", append(of("x9.large", ""), nil)); listed {
		t.Errorf("%v of instance types that are not listed", p)
	}
	p, listed := OnNodes("H100", of("p5.48xlarge", "p5.48xlarge", "p5.4xlarge", "x9.large"))
	if want := 688.0; !listed || math.Abs(p.CentsPerHour-want) > 1e-9 {
		t.Errorf("%v, want %v", p.CentsPerHour, want)
	}
	if got := p.String(); got != "688 ¢/h: p5.48xlarge us-east-1 by 8, p5.4xlarge us-east-1 by 1 (skypilot-catalog v8 commit e385a0d, 2026-11)" {
		t.Error(got)
	}
	if p, _ := OnNodes("L40S", of("g6e.xlarge", "g6e.48xlarge")); math.Abs(p.CentsPerHour-(186.1+3013.12/8)/2) > 1e-9 {
		t.Errorf("%v is no mean", p.CentsPerHour)
	}
}

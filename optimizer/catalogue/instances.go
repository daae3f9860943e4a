package catalogue

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
)

// instances are on-demand list prices of instance types, from github.com/skypilot-org/skypilot-catalog (Apache-2.0).
//
//go:embed instances.csv
var instances []byte

// instance is what a type of node costs.
type instance struct {
	cards        int
	centsPerHour float64
	region       string
	source, date string
}

// instanceTypes by their names.
var instanceTypes = sync.OnceValue(func() map[string]instance {
	rows, err := csv.NewReader(bytes.NewReader(instances)).ReadAll()
	if err != nil {
		panic(err) // embedded and tested
	}
	all := map[string]instance{}
	for _, row := range rows[1:] {
		cards, err := strconv.Atoi(row[1])
		if err != nil {
			panic(err)
		}
		cents, err := strconv.ParseFloat(row[2], 64)
		if err != nil {
			panic(err)
		}
		all[row[0]] = instance{cards, cents, row[3], row[4], row[5]}
	}
	return all
})

// OnNodes is the price of one card of a type on nodes that carry it, by which more is known than by the type: the mean of what OpenCost says that they cost, in
// cents per hour by the names of nodes, or else of the list prices of their instance types, by the card. False where nothing is known of any.
func OnNodes(typ string, nodes []*corev1.Node, costs map[string]float64) (Price, bool) {
	e, known := Lookup(typ)
	if !known {
		return Price{}, false
	}
	sum, n := 0.0, 0
	for _, node := range nodes {
		if cards := node.Status.Capacity[corev1.ResourceName(e.ResourceName)]; costs[node.Name] > 0 && cards.Value() > 0 {
			sum += costs[node.Name] / float64(cards.Value())
			n++
		}
	}
	if n > 0 {
		return Price{Type: typ, CentsPerHour: hundredths(sum / float64(n)), Source: fmt.Sprintf("OpenCost, in the mean of %d nodes", n)}, true
	}
	p, offers := Price{Type: typ}, map[string]bool{}
	for _, node := range nodes {
		name := node.Labels[corev1.LabelInstanceTypeStable]
		i, listed := instanceTypes()[name]
		if !listed {
			continue
		}
		sum += i.centsPerHour / float64(i.cards)
		p.Source, p.Date = i.source, i.date
		offers[fmt.Sprintf("%s %s by %d", name, i.region, i.cards)] = true
		n++
	}
	p.CentsPerHour = hundredths(sum / float64(max(n, 1)))
	p.Offer = strings.Join(slices.Sorted(maps.Keys(offers)), ", ")
	return p, n > 0
}

func hundredths(x float64) float64 { return math.Round(100*x) / 100 }

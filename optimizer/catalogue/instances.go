package catalogue

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"fmt"
	"maps"
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

// OnNodes is the list price of one card of a type on nodes of which these are the labels: the mean over those whose instance type is listed, by which more is
// known than by the type of the cards. False where none is.
func OnNodes(typ string, nodes []map[string]string) (Price, bool) {
	p, n, offers := Price{Type: typ}, 0, map[string]bool{}
	for _, labels := range nodes {
		name := labels[corev1.LabelInstanceTypeStable]
		i, listed := instanceTypes()[name]
		if !listed {
			continue
		}
		p.CentsPerHour += i.centsPerHour / float64(i.cards)
		p.Source, p.Date = i.source, i.date
		offers[fmt.Sprintf("%s %s by %d", name, i.region, i.cards)] = true
		n++
	}
	p.CentsPerHour /= float64(max(n, 1))
	p.Offer = strings.Join(slices.Sorted(maps.Keys(offers)), ", ")
	return p, n > 0
}

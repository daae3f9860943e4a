package observe

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/types"
)

// Copies is a pod of whose engines Prometheus has the same series several times. They count once.
type Copies struct {
	Pod types.NamespacedName
	// Times that the most frequent is there.
	Times int
	// Differ are the names of the labels in which they differ.
	Differ []string
}

// ReadCopies asks Prometheus which pods' series it has several times: scraped by two Prometheus that are read together, by two monitors, at two ports.
func ReadCopies(ctx context.Context, s *Source, now time.Time) ([]Copies, error) {
	found := map[types.NamespacedName]Copies{}
	for _, e := range s.engines {
		var series []model.Metric
		if err := ask(ctx, s, model.ValVector, e.gauge, now, func(s Series) { series = append(series, maps.Clone(s.Metric)) }); err != nil {
			return nil, err
		}
		for pod, c := range copiesOf(series, e.keys, e.own) {
			found[pod] = c
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b Copies) int {
		return cmp.Or(strings.Compare(a.Pod.Namespace, b.Pod.Namespace), strings.Compare(a.Pod.Name, b.Pod.Name))
	}), nil
}

// copiesOf series of a gauge, which each engine of a pod has one of.
func copiesOf(all []model.Metric, keys, own []string) map[types.NamespacedName]Copies {
	groups := map[string][]model.Metric{}
	for _, metric := range all {
		var id []string
		for _, label := range slices.Concat(keys, own) {
			id = append(id, string(metric[model.LabelName(label)]))
		}
		key := strings.Join(id, "\x00")
		groups[key] = append(groups[key], metric)
	}
	found := map[types.NamespacedName]Copies{}
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		series := groups[key]
		pod := types.NamespacedName{Namespace: string(series[0][model.LabelName(keys[0])]), Name: string(series[0][model.LabelName(keys[1])])}
		if len(series) > max(1, found[pod].Times) {
			found[pod] = Copies{Pod: pod, Times: len(series), Differ: differing(series)}
		}
	}
	return found
}

// differing labels of series.
func differing(series []model.Metric) []string {
	differ := map[string]bool{}
	for _, s := range series[1:] {
		for _, pair := range [][2]model.Metric{{series[0], s}, {s, series[0]}} {
			for name, value := range pair[0] {
				if pair[1][name] != value {
					differ[string(name)] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(differ))
}

package main

import (
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// servers with roles that say whether they speculate, by pair.
func servers(data string) ([][]fitting.Point, error) {
	points, err := read(data + "/measured/disagg.csv")
	if err != nil {
		return nil, err
	}
	return points.Groups(func(p fitting.Point) bool { return p.Roles != nil && p.Clients > 0 && !p.Roles.Unsaid }), nil
}

// printRoleExperience as Go source.
func printRoleExperience(data string) error {
	groups, err := servers(data)
	if err != nil {
		return err
	}
	e, err := fitting.BuiltIn().LearnRoles(groups)
	if err != nil {
		return err
	}
	for i, name := range fitting.RoleMultiplierNames() {
		m := e[i].Mean
		fmt.Printf("%s: {[roleFeatures]float64{%.2f, %.2f, %.2f}, %.2f},\n", name, m[0], m[1], m[2], e[i].Spread)
	}
	return nil
}

// byLayout trains on every other layout of workers, of at least four.
func byLayout(points []fitting.Point) (train, test []fitting.Point) {
	of := func(p fitting.Point) string { return fmt.Sprint(p.Roles.Prefill, p.Roles.Decode) }
	var layouts []string
	for _, p := range points {
		layouts = append(layouts, of(p))
	}
	slices.Sort(layouts)
	if layouts = slices.Compact(layouts); len(layouts) < 4 {
		return nil, nil
	}
	for _, p := range points {
		if slices.Index(layouts, of(p))%2 == 0 {
			train = append(train, p)
		} else {
			test = append(test, p)
		}
	}
	return train, test
}

// speculated tests every other point that speculates, and trains on all others.
func speculated(points []fitting.Point) (train, test []fitting.Point) {
	n := 0
	for _, p := range points {
		if p.Roles.Speculative {
			n++
		}
		if p.Roles.Speculative && n%2 == 0 {
			test = append(test, p)
		} else {
			train = append(train, p)
		}
	}
	if len(test) < leastOfTraining {
		return nil, nil
	}
	return train, test
}

// rolesTable measures servers with roles, each pair with what was learned from other accelerators only.
func rolesTable(w io.Writer, data string, pairs [][]fitting.Point) error {
	groups, err := servers(data)
	if err != nil {
		return err
	}
	protocols := []struct {
		name            string
		split           split
		replicas, plain bool
	}{
		{"nothing (prior)", func(p []fitting.Point) (train, test []fitting.Point) { return nil, p }, false, true},
		{"replicas of the pair that do both", func(p []fitting.Point) (train, test []fitting.Point) { return nil, p }, true, true},
		{"every other layout: workers and parallelism", byLayout, false, true},
		{"every other point", everyOther, false, true},
		{"points without speculation and every other with it, predict those with", speculated, false, false},
	}
	scores := make([]score, len(protocols))
	learned := map[string]fitting.RoleExperience{}
	for _, g := range groups {
		k := fitting.BuiltIn()
		card := g[0].Group["accelerator"]
		if _, ok := learned[card]; !ok {
			e, err := k.LearnRoles(slices.DeleteFunc(slices.Clone(groups), func(o []fitting.Point) bool { return o[0].Group["accelerator"] == card }))
			if err != nil {
				return err
			}
			learned[card] = e
		}
		k.Roles = learned[card]
		plain := slices.DeleteFunc(slices.Clone(g), func(p fitting.Point) bool { return p.Roles.Speculative })
		for i, protocol := range protocols {
			points := g
			if protocol.plain {
				points = plain
			}
			if len(points) < leastOfGroup {
				continue
			}
			train, test := protocol.split(points)
			if len(test) == 0 {
				continue
			}
			predict, err := learnRoles(k, train, test[0].Group, protocol.replicas, pairs)
			if err != nil {
				return err
			}
			if predict == nil {
				continue
			}
			if err := scores[i].add(test, predict.Predict); err != nil {
				return err
			}
		}
	}
	fmt.Fprint(w, "\n### Measured servers whose prompts and decodes run apart, without speculation, priors learned from other accelerators\n\n"+
		"| trained on | groups | ITL, mean / median group | TTFT, mean / median group |\n|---|---|---|---|\n")
	for i, protocol := range protocols {
		fmt.Fprintf(w, "| %s | %s |\n", protocol.name, &scores[i])
	}
	return nil
}

// learnRoles from points with roles, or from replicas of the same pair that do both; nil where there are none.
func learnRoles(k fitting.Knowledge, train []fitting.Point, pair fitting.Group, replicas bool, pairs [][]fitting.Point) (*fitting.Predictor, error) {
	var data jsonspec.ModelData
	if replicas {
		own := &fitting.Points{}
		for _, g := range pairs {
			same := true
			for _, c := range []string{"engine", "model", "accelerator", "precision"} {
				same = same && g[0].Group[c] == pair[c]
			}
			if same {
				own.Rows = append(own.Rows, g...)
			}
		}
		if len(own.Rows) == 0 || pair["accelerator"] == "gb200" { // of which these are servers with roles
			return nil, nil
		}
		fits, err := k.FitAll(own, fitting.Options{})
		if err != nil {
			return nil, err
		}
		for _, f := range fits {
			data.Spec = append(data.Spec, f.Performance())
		}
	}
	if len(train) > 0 {
		fits, err := k.FitRoles(&fitting.Points{Rows: train}, nil, fitting.Options{})
		if err != nil {
			return nil, err
		}
		data.Roles = append(data.Roles, fits[0].Entry())
	}
	return fitting.NewPredictor(queueing.ContinuousBatching{}, k, data)
}

// simulatedRoles compares with a simulator of servers with roles under open arrivals, after fits to closed loops of replicas that do both.
func simulatedRoles(w io.Writer, data string) error {
	train, err := read(data + "/simulated/disagg-aggregated.csv")
	if err != nil {
		return err
	}
	test, err := read(data + "/simulated/disagg.csv")
	if err != nil {
		return err
	}
	k := fitting.BuiltIn()
	fits, err := k.FitAll(train, fitting.Options{})
	if err != nil {
		return err
	}
	p, err := predictor(k, fits, queueing.ContinuousBatching{})
	if err != nil {
		return err
	}
	p90 := slices.Index(test.Header, "ttft_p90_ms")
	fmt.Fprint(w, "\n### Simulated servers whose prompts and decodes run apart, Poisson arrivals, fitted on closed loops of replicas that do both, median errors\n\n"+
		"| runs | number | ITL | TTFT | P90 TTFT |\n|---|---|---|---|---|\n")
	for _, half := range []struct {
		name string
		keep func(p fitting.Point) bool
	}{
		{"all", func(fitting.Point) bool { return true }},
		{"prefill workers of the parallelism that was fitted", func(p fitting.Point) bool { return p.Roles.Prefill.Tensor == 1 }},
	} {
		var errs [3][]float64
		for _, at := range test.Rows {
			if !half.keep(at) {
				continue
			}
			q, err := p.Predict(at)
			if err != nil {
				return err
			}
			var measured float64
			if _, err := fmt.Sscan(at.Fields[p90], &measured); err != nil {
				return err
			}
			for i, r := range [3]float64{q.ITL.Mean / at.ITL, q.TTFT.Mean / at.TTFT, q.TTFT.P90 / measured * 1e3} {
				errs[i] = append(errs[i], math.Abs(r-1))
			}
		}
		fmt.Fprintf(w, "| %s | %d | %.1f %% | %.1f %% | %.1f %% |\n", half.name, len(errs[0]), 100*median(errs[0]), 100*median(errs[1]), 100*median(errs[2]))
	}
	return nil
}

// Command accuracy measures how well laws and queueing models predict the measured and simulated data of test/data, and prints the tables of
// docs/models.md as Markdown. Priors are learned anew for every model family that is tested, from the others only.
//
//	go run ./test/accuracy          the tables
//	go run ./test/accuracy -write docs/models.md
//	go run ./test/accuracy -grid    play the simulated engines of the grid again
//	go run ./test/accuracy -roles   the tables of servers whose prompts and decodes run apart alone
//	go run ./test/accuracy -learn   the prior learned from all measurements, as Go source
//	go run ./test/accuracy -held-out test/data/measured/held-out.json
//	                                the priors learned without each family of models
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/queueing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

func main() {
	log.SetFlags(0)
	data := flag.String("data", "test/data", "folder of the data")
	learn := flag.Bool("learn", false, "print the prior learned from all measurements, as Go source")
	without := flag.String("held-out", "", "file to write the priors to that are learned without each family of models")
	roles := flag.Bool("roles", false, "print the tables of servers whose prompts and decodes run apart alone")
	chosen := flag.String("choice", "", "print the table of configurations that are chosen by predictions, and draw what measured ones cost with and without roles to this file")
	document := flag.String("write", "", "document whose tables to replace, between its marks")
	play := flag.Bool("grid", false, "play the grid of simulated engines again")
	flag.Parse()
	if *play {
		if err := playGrid(*data + "/simulated"); err != nil {
			log.Fatal(err)
		}
		return
	}
	silicon, err := read(*data + "/measured/silicon.csv")
	if err != nil {
		log.Fatal(err)
	}
	pairs := known(silicon.Groups(func(p fitting.Point) bool { return true }))
	switch {
	case *learn:
		err = errors.Join(printExperience(pairs), printRoleExperience(*data))
	case *chosen != "":
		err = errors.Join(choiceTable(os.Stdout, *data, pairs), drawChoice(*chosen, *data, pairs))
	case *roles:
		err = errors.Join(rolesTable(os.Stdout, *data, pairs), simulatedRoles(os.Stdout, *data))
	case *without != "":
		err = writeHeldOut(*without, pairs)
	case *document != "":
		err = update(*document, *data, pairs)
	default:
		err = tables(os.Stdout, *data, pairs)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// Marks between which a document holds the tables.
const begin, end = "<!-- accuracy: made by `go run ./test/accuracy -write` -->\n", "<!-- end of accuracy -->\n"

// update replaces the tables of a document.
func update(document, data string, pairs [][]fitting.Point) error {
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	before, rest, opened := bytes.Cut(text, []byte(begin))
	_, after, closed := bytes.Cut(rest, []byte(end))
	if !opened || !closed {
		return errors.New(document + ": the marks of the tables are missing")
	}
	out := bytes.NewBuffer(slices.Concat(before, []byte(begin))) // a copy: after is still to be read
	if err := tables(out, data, pairs); err != nil {
		return err
	}
	out.WriteString(end)
	out.Write(after)
	return os.WriteFile(document, out.Bytes(), 0o644)
}

func read(name string) (*fitting.Points, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	points, err := fitting.ReadPoints(f, true)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return points, nil
}

// known are the pairs whose architecture is not guessed.
func known(groups [][]fitting.Point) [][]fitting.Point {
	architectures := fitting.BuiltInArchitectures()
	return slices.DeleteFunc(groups, func(g []fitting.Point) bool {
		_, guessed := architectures.Find(g[0].Group["model"])
		return guessed
	})
}

func printExperience(pairs [][]fitting.Point) error {
	e, err := fitting.BuiltIn().Learn(pairs)
	if err != nil {
		return err
	}
	for i, name := range fitting.MultiplierNames() {
		fmt.Printf("%s: {[features]float64{", name)
		for j, v := range e[i].Mean {
			if j > 0 {
				fmt.Print(", ")
			}
			fmt.Printf("%.2f", v)
		}
		fmt.Printf("}, %.2f},\n", e[i].Spread)
	}
	return nil
}

// family of a model: those of one architecture are never split between learning and testing.
func family(model string) string {
	a, _ := fitting.BuiltInArchitectures().Find(model)
	return fmt.Sprint(a)
}

// split divides the points of a pair; nil where it cannot.
type split func(points []fitting.Point) (train, test []fitting.Point)

func everyOther(points []fitting.Point) (train, test []fitting.Point) {
	for i, p := range points {
		if i%2 == 0 {
			train = append(train, p)
		} else {
			test = append(test, p)
		}
	}
	return train, test
}

// oneShape trains on the token shape with most points.
func oneShape(points []fitting.Point) (train, test []fitting.Point) {
	type shape [2]float64
	of := func(p fitting.Point) shape { return shape{p.Requests.InputTokens, p.Requests.OutputTokens} }
	count := map[shape]int{}
	for _, p := range points {
		count[of(p)]++
	}
	best := of(points[0])
	for _, p := range points { // in the order of the points, which are sorted by tokens
		if count[of(p)] > count[best] {
			best = of(p)
		}
	}
	for _, p := range points {
		if of(p) == best {
			train = append(train, p)
		} else {
			test = append(test, p)
		}
	}
	return train, test
}

// merged sorts points and takes the medians of repeated ones.
func merged(points []fitting.Point) []fitting.Point {
	type key [3]float64
	by := map[key][]fitting.Point{}
	var keys []key
	for _, p := range points {
		k := key{p.Requests.InputTokens, p.Requests.OutputTokens, p.Clients}
		if by[k] == nil {
			keys = append(keys, k)
		}
		by[k] = append(by[k], p)
	}
	slices.SortFunc(keys, func(a, b key) int { return slices.Compare(a[:], b[:]) })
	var out []fitting.Point
	for _, k := range keys {
		p := by[k][0]
		p.TTFT = median(each(by[k], func(p fitting.Point) float64 { return p.TTFT }))
		p.ITL = median(each(by[k], func(p fitting.Point) float64 { return p.ITL }))
		out = append(out, p)
	}
	return out
}

const (
	leastOfGroup, leastOfTraining = 8, 4
)

// score are the errors of all groups, each the mean over its points and at most 1.
type score struct{ itl, ttft []float64 }

func (s *score) add(points []fitting.Point, predict func(fitting.Point) (queueing.Prediction, error)) error {
	var itl, ttft float64
	for _, p := range points {
		q, err := predict(p)
		if err != nil {
			return err
		}
		itl += math.Abs(q.ITL.Mean/p.ITL-1) / float64(len(points))
		ttft += math.Abs(q.TTFT.Mean/p.TTFT-1) / float64(len(points))
	}
	s.itl, s.ttft = append(s.itl, math.Min(1, itl)), append(s.ttft, math.Min(1, ttft))
	return nil
}

func (s *score) String() string {
	return fmt.Sprintf("%d | %.1f / %.1f %% | %.1f / %.1f %%", len(s.itl), 100*mean(s.itl), 100*median(s.itl), 100*mean(s.ttft), 100*median(s.ttft))
}

func tables(w io.Writer, data string, pairs [][]fitting.Point) error {
	protocols := []struct {
		name  string
		split split
	}{{"every other point", everyOther}, {"one token shape, predict the others", oneShape}}
	laws := fitting.LawNames()
	scores := map[string]*score{}
	var priorITL, priorTTFT []float64
	for _, f := range families(pairs) {
		k := fitting.BuiltIn()
		e, err := k.Learn(others(pairs, f))
		if err != nil {
			return err
		}
		k.Experience = e
		for _, g := range pairs {
			if family(g[0].Group["model"]) != f {
				continue
			}
			for _, p := range g {
				q, err := prior(k, p)
				if err != nil {
					return err
				}
				priorITL = append(priorITL, math.Abs(q.ITL.Mean/p.ITL-1))
				priorTTFT = append(priorTTFT, math.Abs(q.TTFT.Mean/p.TTFT-1))
			}
			points := merged(g)
			if len(points) < leastOfGroup {
				continue
			}
			for _, protocol := range protocols {
				train, test := protocol.split(points)
				if len(train) < leastOfTraining || len(test) == 0 {
					continue
				}
				for _, law := range laws {
					key := protocol.name + " | " + law
					if scores[key] == nil {
						scores[key] = &score{}
					}
					predictor, err := fitted(k, train, law)
					if err != nil {
						return err
					}
					if err := scores[key].add(test, predictor.Predict); err != nil {
						return err
					}
				}
			}
		}
	}
	fmt.Fprint(w, "\n### Measured engines, priors learned from the other models\n\n| trained on | law | groups | ITL, mean / median group | TTFT, mean / median group |\n|---|---|---|---|---|\n")
	for _, protocol := range protocols {
		for _, law := range laws {
			key := protocol.name + " | " + law
			fmt.Fprintf(w, "| %s | %s |\n", key, scores[key])
		}
	}
	floor, err := neighbours(pairs)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "| the points with fewer and more clients beside each | none: a straight line on logarithms | %s |\n", floor)
	fmt.Fprintf(w, "| nothing (prior), median over points | roofline | %d points | %.1f %% | %.1f %% |\n\n", len(priorITL), 100*median(priorITL), 100*median(priorTTFT))
	if err := simulated(w, data); err != nil {
		return err
	}
	if err := errors.Join(rolesTable(w, data, pairs), simulatedRoles(w, data), choiceTable(w, data, pairs)); err != nil {
		return err
	}
	if err := engines(w); err != nil {
		return err
	}
	return drawMap(w, data+"/simulated")
}

func prior(k fitting.Knowledge, p fitting.Point) (queueing.Prediction, error) {
	law, err := k.Prior(p.Group)
	if err != nil {
		return queueing.Prediction{}, err
	}
	return queueing.Closed(law, p.Requests, p.Limits, p.Clients)
}

func fitted(k fitting.Knowledge, train []fitting.Point, law string) (*fitting.Predictor, error) {
	fits, err := k.FitAll(&fitting.Points{Rows: train}, fitting.Options{Law: law})
	if err != nil {
		return nil, err
	}
	return predictor(k, fits, queueing.ContinuousBatching{})
}

func predictor(k fitting.Knowledge, fits []*fitting.Fit, m queueing.Model) (*fitting.Predictor, error) {
	var entries []jsonspec.PerformanceEntry
	for _, f := range fits {
		entries = append(entries, f.Performance())
	}
	return fitting.NewPredictor(m, k, jsonspec.ModelData{Spec: entries})
}

func each(points []fitting.Point, of func(fitting.Point) float64) []float64 {
	var v []float64
	for _, p := range points {
		v = append(v, of(p))
	}
	return v
}

func mean(v []float64) float64 {
	s := 0.0
	for _, x := range v {
		s += x / float64(len(v))
	}
	return s
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

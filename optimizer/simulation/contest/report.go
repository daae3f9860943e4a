package contest

import (
	"errors"
	"fmt"
	"image/color"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/llm-inferno/inferno/optimizer/simulation/policy"
	"github.com/llm-inferno/inferno/optimizer/simulation/serving"
)

// WriteReport draws a contest into a folder, as SVG: what each policy cost and served, and its replicas over time beside the load; and writes
// the series behind, as CSV.
func WriteReport(folder string, f *policy.Fleet, outcomes []*Outcome) error {
	name := filepath.Join(folder, f.Scenario.Name)
	faults := []error{Draw(folder, f, outcomes)}
	for _, o := range outcomes {
		faults = append(faults, writeSeries(fmt.Sprintf("%s-%s.csv", name, label(o)), o))
	}
	return errors.Join(faults...)
}

// Draw writes the pictures alone.
func Draw(folder string, f *policy.Fleet, outcomes []*Outcome) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	name := filepath.Join(folder, f.Scenario.Name)
	return errors.Join(drawCost(name+"-cost.svg", f, outcomes), drawReplicas(name+"-replicas.svg", f, outcomes))
}

// Words lists numbers by name, each times a factor.
func Words(by map[string]float64, factor float64, format string) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(by)) {
		words = append(words, name+" "+fmt.Sprintf(format, factor*by[name]))
	}
	return strings.Join(words, ", ")
}

// label of an outcome, usable in a file name.
func label(o *Outcome) string {
	if strings.HasPrefix(o.Settings, "tuned") {
		return o.Policy + "-tuned"
	}
	return o.Policy
}

func writeSeries(file string, o *Outcome) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(serving.WriteCSV(out, o.reports), out.Close())
}

const pictureWidth, pictureHeight = 9 * vg.Inch, 4.5 * vg.Inch

// drawCost plots cost over attainment, a point for each outcome.
func drawCost(file string, f *policy.Fleet, outcomes []*Outcome) error {
	p := plot.New()
	p.Title.Text = f.Scenario.Name
	p.X.Label.Text, p.Y.Label.Text = "requests that missed a target, %", "cost, ¢/h"
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	for i, o := range outcomes {
		points, err := plotter.NewScatter(plotter.XYs{{X: 100 * (1 - o.Served), Y: o.CostPerHour}})
		if err != nil {
			return err
		}
		points.Color, points.Shape, points.Radius = colour(i), plotutil.Shape(i), 4
		p.Add(points)
		p.Legend.Add(label(o), points)
	}
	return p.Save(pictureWidth, pictureHeight, file)
}

func colour(i int) color.Color { return plotutil.Color(i) }

// drawn is the most outcomes that one picture of series holds; those that come first are drawn.
const drawn = 4

// drawReplicas plots the rate and the replicas of all servers together over hours.
func drawReplicas(file string, f *policy.Fleet, outcomes []*Outcome) error {
	p := plot.New()
	p.Title.Text = f.Scenario.Name
	p.X.Label.Text, p.Y.Label.Text = "hours", "replicas; requests/s (dotted)"
	p.Legend.Top, p.Legend.Left = true, true
	p.Y.Min = 0
	for i, o := range outcomes[:min(drawn, len(outcomes))] {
		rate, replicas := together(f, o)
		if i == 0 {
			line, err := plotter.NewLine(rate)
			if err != nil {
				return err
			}
			line.Dashes, line.Color = plotutil.Dashes(2), color.Gray{128}
			p.Add(line)
		}
		line, err := plotter.NewLine(replicas)
		if err != nil {
			return err
		}
		line.StepStyle, line.Color = plotter.PostStep, colour(i)
		line.LineStyle = draw.LineStyle{Color: colour(i), Width: vg.Points(1)}
		p.Add(line)
		p.Legend.Add(label(o), line)
	}
	return p.Save(pictureWidth, pictureHeight, file)
}

// together sums rates and replicas up over the servers, over hours.
func together(f *policy.Fleet, o *Outcome) (rate, replicas plotter.XYs) {
	type sum struct{ rate, replicas float64 }
	by := map[float64]*sum{}
	var starts []float64
	for _, r := range o.reports {
		for _, w := range r.Windows {
			if by[w.Start] == nil {
				by[w.Start] = new(sum)
				starts = append(starts, w.Start)
			}
			by[w.Start].rate += float64(w.Arrivals) / f.Config.Times.Window
			for _, n := range w.Replicas {
				by[w.Start].replicas += float64(n)
			}
		}
	}
	slices.Sort(starts)
	for _, at := range starts {
		rate = append(rate, plotter.XY{X: at / 3600, Y: by[at].rate})
		replicas = append(replicas, plotter.XY{X: at / 3600, Y: by[at].replicas})
	}
	return rate, replicas
}

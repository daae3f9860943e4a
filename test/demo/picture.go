package main

import (
	"cmp"
	"errors"
	"fmt"
	"image/color"
	"maps"
	"math"
	"os"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/llm-inferno/inferno/optimizer/localcluster/fleet"
	"github.com/llm-inferno/inferno/optimizer/simulation/serving"
)

var (
	chipColors = map[string]color.Color{
		"h100": color.RGBA{R: 0x2b, G: 0x5c, B: 0x8a, A: 0xff},
		"a100": color.RGBA{R: 0xe0, G: 0x8e, B: 0x2b, A: 0xff},
		"l40s": color.RGBA{R: 0x5a, G: 0x9e, B: 0x5a, A: 0xff},
	}
	ink    = color.RGBA{R: 0x33, G: 0x33, B: 0x33, A: 0xff}
	faint  = color.RGBA{R: 0x99, G: 0x99, B: 0x99, A: 0xff}
	target = color.RGBA{R: 0xc0, G: 0x30, B: 0x30, A: 0xff}
)

func chipNames() []string { return slices.Sorted(maps.Keys(chips)) }

// smoothing of the latencies in the picture, in windows of the record.
const smoothing = 5

// drawPlots makes a column for every server: load, ready replicas by accelerator, cost, TTFT and ITL against their targets, over time.
func drawPlots(w *watcher, report fleet.Report) ([][]*plot.Plot, error) {
	rows := make([][]*plot.Plot, 5)
	for _, s := range w.scenario.servers {
		r := report.Servers[namespace+"/"+s.Name]
		goal := w.scenario.targets[s.Name]
		columns := []func() (*plot.Plot, error){
			func() (*plot.Plot, error) { return w.loadPlot(s.Name, r) },
			func() (*plot.Plot, error) { return w.replicasPlot(s.Name) },
			func() (*plot.Plot, error) { return w.costPlot(s.Name) },
			func() (*plot.Plot, error) {
				return latencyPlot("TTFT, ms", r, 1e3*goal.TTFT, w.scenario.percentiles[s.Name], func(x serving.Window) serving.Summary { return x.TTFT })
			},
			func() (*plot.Plot, error) {
				return latencyPlot("ITL, ms", r, 1e3*goal.ITL, w.scenario.percentiles[s.Name], func(x serving.Window) serving.Summary { return x.ITL })
			},
		}
		for i, make := range columns {
			p, err := make()
			if err != nil {
				return nil, err
			}
			leaveRoom(p)
			rows[i] = append(rows[i], p)
		}
		rows[0][len(rows[0])-1].Title.Text = s.Name
	}
	return rows, nil
}

// drawPicture writes the picture as PNG.
func drawPicture(w *watcher, report fleet.Report, file string) error {
	rows, err := drawPlots(w, report)
	if err != nil {
		return err
	}
	const width, height = 36 * vg.Centimeter, 33 * vg.Centimeter
	img := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(110))
	canvas := draw.New(img)
	tiles := draw.Tiles{Rows: len(rows), Cols: len(rows[0]), PadX: vg.Points(12), PadY: vg.Points(10), PadTop: vg.Points(8), PadBottom: vg.Points(8), PadLeft: vg.Points(8), PadRight: vg.Points(12)}
	for i, row := range plot.Align(rows, tiles, canvas) {
		for j := range row {
			rows[i][j].Draw(row[j])
		}
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := (vgimg.PngCanvas{Canvas: img}).WriteTo(f); err != nil {
		return err
	}
	return f.Close()
}

// leaveRoom above the lines for the legend, which is at the top.
func leaveRoom(p *plot.Plot) {
	const lines, share = 3, 0.11 // the most lines that a legend has, and the share of the height that each takes
	p.Y.Max /= 1 - share*lines
}

func newPlot(label string) *plot.Plot {
	p := plot.New()
	p.Legend.Top = true
	p.Legend.TextStyle.Font.Size = vg.Points(9)
	p.Y.Label.Text = label
	p.Y.Min = 0
	p.X.Min = 0
	p.Add(plotter.NewGrid())
	return p
}

func addLine(p *plot.Plot, name string, points plotter.XYs, c color.Color, dashed bool) error {
	if len(points) == 0 {
		return nil
	}
	l, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	l.Color, l.Width = c, vg.Points(1.4)
	if dashed {
		l.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
	}
	p.Add(l)
	if name != "" {
		p.Legend.Add(name, l)
	}
	return nil
}

// loadPlot shows arrivals as they were, and as the loop saw them.
func (w *watcher) loadPlot(server string, r serving.Report) (*plot.Plot, error) {
	p := newPlot("load, requests/s")
	var arrived, observed plotter.XYs
	for i := range r.Windows {
		n := 0
		from := max(i-smoothing+1, 0)
		for _, x := range r.Windows[from : i+1] {
			n += x.Arrivals
		}
		arrived = append(arrived, plotter.XY{X: r.Windows[i].Start, Y: float64(n) / float64(i+1-from)})
	}
	for _, s := range w.samples {
		if l := s.servers[server].status.Load; l != nil {
			observed = append(observed, plotter.XY{X: s.seconds, Y: l.ArrivalRate / 60})
		}
	}
	if err := addLine(p, "arrived", arrived, faint, false); err != nil {
		return nil, err
	}
	return p, addLine(p, "observed", observed, ink, false)
}

// replicasPlot shows ready replicas by accelerator, and the total of the plan.
func (w *watcher) replicasPlot(server string) (*plot.Plot, error) {
	p := newPlot("ready replicas")
	for _, a := range chipNames() {
		var points plotter.XYs
		used := false
		for _, s := range w.samples {
			n := s.servers[server].placement[a]
			used = used || n > 0
			points = append(points, plotter.XY{X: s.seconds, Y: float64(n)})
		}
		if !used {
			continue
		}
		if err := addLine(p, a, points, chipColors[a], false); err != nil {
			return nil, err
		}
	}
	var plan plotter.XYs
	for _, s := range w.samples {
		if d := s.servers[server].status.Desired; d != nil {
			plan = append(plan, plotter.XY{X: s.seconds, Y: float64(d.Replicas - d.Surge)})
		}
	}
	return p, addLine(p, "plan, all", plan, ink, true)
}

// costPlot shows what the ready replicas cost, and what the plan does.
func (w *watcher) costPlot(server string) (*plot.Plot, error) {
	p := newPlot("cost, ¢/h")
	var ready, plan plotter.XYs
	for _, s := range w.samples {
		one := s.servers[server]
		ready = append(ready, plotter.XY{X: s.seconds, Y: one.cost})
		if d := one.status.Desired; d != nil {
			plan = append(plan, plotter.XY{X: s.seconds, Y: d.CostPerHour})
		}
	}
	if err := addLine(p, "ready replicas", ready, faint, false); err != nil {
		return nil, err
	}
	return p, addLine(p, "plan", plan, ink, true)
}

// besideMeans is the percentile that is shown where targets are for the mean.
const besideMeans = 99

// latencyPlot shows the latency of the requests that completed, mean and at the percentile that the target is for, and the target. The axis ends at
// four times the target, so that a start without replicas does not hide the rest.
func latencyPlot(label string, r serving.Report, goal, percentile float64, of func(serving.Window) serving.Summary) (*plot.Plot, error) {
	p := newPlot(label)
	const most = 4
	percentile = cmp.Or(percentile, besideMeans)
	var means, tails plotter.XYs
	p.Y.Max = 1.2 * goal
	for i := range r.Windows {
		sum, tail, n := 0.0, 0.0, 0
		for _, x := range r.Windows[max(i-smoothing+1, 0) : i+1] {
			if s := of(x); s.Count > 0 {
				sum, tail, n = sum+s.Mean*float64(s.Count), tail+s.At(percentile)*float64(s.Count), n+s.Count
			}
		}
		if n > 0 {
			at := func(total float64) plotter.XY {
				y := math.Min(1e3*total/float64(n), most*goal)
				p.Y.Max = math.Max(p.Y.Max, y)
				return plotter.XY{X: r.Windows[i].Start, Y: y}
			}
			means, tails = append(means, at(sum)), append(tails, at(tail))
		}
	}
	p.X.Label.Text = "seconds"
	if err := errors.Join(addLine(p, fmt.Sprintf("P%g of a second, over %d s", percentile, smoothing), tails, faint, false), addLine(p, fmt.Sprintf("mean of %d s", smoothing), means, ink, false)); err != nil {
		return nil, err
	}
	if len(r.Windows) == 0 {
		return p, nil
	}
	end := r.Windows[len(r.Windows)-1].Start
	return p, addLine(p, "target", plotter.XYs{{X: 0, Y: goal}, {X: end, Y: goal}}, target, true)
}

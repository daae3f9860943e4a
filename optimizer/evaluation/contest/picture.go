package contest

import (
	"cmp"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/llm-inferno/inferno/optimizer/evaluation/policy"
)

const (
	pictureWidth, pictureHeight = 9 * vg.Inch, 4.5 * vg.Inch
	legendWidth                 = 2.2 * vg.Inch
	// bins of time in a picture of series, at most.
	bins = 160
	// fewestMisses is where the axis of misses begins, %: it has no zero.
	fewestMisses = 0.01
)

var (
	faint   = color.Gray{0x99}
	colours = []color.RGBA{
		{0xd6, 0x27, 0x28, 0xff}, {0xff, 0x7f, 0x0e, 0xff}, {0x44, 0x44, 0x44, 0xff}, {0x1f, 0x77, 0xb4, 0xff}, {0x2c, 0xa0, 0x2c, 0xff},
		{0x94, 0x67, 0xbd, 0xff}, {0x8c, 0x56, 0x4b, 0xff}, {0xe3, 0x77, 0xc2, 0xff}, {0xbc, 0xbd, 0x22, 0xff}, {0x17, 0xbe, 0xcf, 0xff},
	}
	// marks by policy, with its defaults and tuned.
	marks = [][2]draw.GlyphDrawer{
		{draw.RingGlyph{}, draw.CircleGlyph{}}, {draw.SquareGlyph{}, draw.BoxGlyph{}}, {draw.TriangleGlyph{}, draw.PyramidGlyph{}},
	}
)

// place of a policy among all, so that it looks the same in every picture.
func place(name string) int {
	return max(slices.IndexFunc(policy.Entries(), func(e policy.Entry) bool { return e.Name == name }), 0)
}

func colour(o *Outcome) color.Color { return colours[place(o.Policy)%len(colours)] }

func mark(o *Outcome) draw.GlyphStyle {
	kind := 0
	if o.Tuned() || o.Ours() {
		kind = 1
	}
	i := place(o.Policy)
	style := draw.GlyphStyle{Color: colour(o), Shape: marks[i%len(marks)][kind], Radius: 4}
	if o.Policy == policy.NameInferno {
		style.Radius = 7
	}
	return style
}

// DrawCost writes NAME-cost.svg into a folder: cost over the requests that missed a target, both as logarithms, a mark for each outcome and a
// line from each policy's defaults to its tuned settings. What schedules that know the future reach is a line beside.
func DrawCost(folder, name string, r *Result) error {
	p := newPlot()
	p.Title.Text = name + " (open marks: defaults, filled: tuned)"
	p.X.Label.Text, p.Y.Label.Text = "requests that missed a target, %", "cost, ¢/h"
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.TickerFunc(logTicks), plot.TickerFunc(logTicks)
	legend := newLegend()
	if best := frontier(r.Schedules); len(best) > 0 {
		line, err := plotter.NewLine(best)
		if err != nil {
			return err
		}
		line.Color, line.Width, line.Dashes = faint, vg.Points(1.5), []vg.Length{vg.Points(4), vg.Points(3)}
		p.Add(line)
		legend.Add("knowing the future", line)
	}
	defaults := map[string]plotter.XY{}
	for _, o := range r.Outcomes {
		at := misses(o)
		points, err := plotter.NewScatter(plotter.XYs{at})
		if err != nil {
			return err
		}
		points.GlyphStyle = mark(o)
		if from, both := defaults[o.Policy]; both {
			line, err := plotter.NewLine(plotter.XYs{from, at})
			if err != nil {
				return err
			}
			line.Color, line.Width = colour(o), vg.Points(0.4)
			p.Add(line)
		} else {
			defaults[o.Policy] = at
			legend.Add(o.Policy, points)
		}
		p.Add(points)
	}
	const room = 1.25 // around the marks
	p.X.Min, p.X.Max = p.X.Min/room, p.X.Max*room
	p.Y.Min, p.Y.Max = p.Y.Min/room, p.Y.Max*room
	return save(filepath.Join(folder, name+"-cost.svg"), legend, p)
}

// DrawSeries writes a picture as SVG: the load, what the ready replicas cost and the share of requests that missed a target, over
// time, of the first few outcomes that have series (those that are remembered have none).
func DrawSeries(file string, f *policy.Fleet, outcomes []*Outcome) error {
	load, cost, missed := newPlot(), newPlot(), newPlot()
	load.Title.Text = f.Scenario.Name
	load.Y.Label.Text, cost.Y.Label.Text, missed.Y.Label.Text = "requests/s", "ready replicas, ¢/h", "missed, %"
	missed.X.Label.Text = "hours"
	legend := newLegend()
	for i, o := range first(outcomes) {
		s := together(f, o)
		if i == 0 {
			if _, err := addLine(load, s.rate, faint); err != nil {
				return err
			}
		}
		line, err := addLine(cost, s.cost, colour(o))
		if err != nil {
			return err
		}
		if _, err := addLine(missed, s.missed, colour(o)); err != nil {
			return err
		}
		legend.Add(label(o), line)
	}
	return save(file, legend, load, cost, missed)
}

// misses of an outcome, %, and its cost.
func misses(o *Outcome) plotter.XY {
	return plotter.XY{X: max(100*(1-o.Served), fewestMisses), Y: o.CostPerHour}
}

// frontier of schedules, from few misses to many: those than which none is cheaper and serves as much.
func frontier(schedules []*Outcome) plotter.XYs {
	var best plotter.XYs
	for _, s := range schedules {
		if !slices.ContainsFunc(schedules, func(o *Outcome) bool {
			return o.Served >= s.Served && o.CostPerHour <= s.CostPerHour && (o.Served > s.Served || o.CostPerHour < s.CostPerHour)
		}) {
			best = append(best, misses(s))
		}
	}
	slices.SortFunc(best, func(a, b plotter.XY) int { return cmp.Or(cmp.Compare(a.X, b.X), cmp.Compare(b.Y, a.Y)) })
	return best
}

// drawn is the most outcomes that one picture of series holds.
const drawn = 4

// first outcomes that have series.
func first(outcomes []*Outcome) []*Outcome {
	var some []*Outcome
	for _, o := range outcomes {
		if o.reports != nil && len(some) < drawn {
			some = append(some, o)
		}
	}
	return some
}

// series of an outcome over all servers and over hours: arrivals, requests/s; the price of the ready replicas, ¢/h; requests that missed, %.
type series struct{ rate, cost, missed plotter.XYs }

// together sums up over the servers, and over windows where there are more than fit.
func together(f *policy.Fleet, o *Outcome) series {
	type sum struct {
		windows                           float64
		arrivals, price, completions, met float64
	}
	width := f.Config.Times.Window * math.Ceil(f.Scenario.Duration/f.Config.Times.Window/bins)
	sums := make([]sum, int(math.Ceil(f.Scenario.Duration/width))+1)
	for _, name := range f.Servers() {
		for _, w := range o.reports[name].Windows {
			s := &sums[int(w.Start/width)]
			s.windows += 1 / float64(len(f.Servers()))
			s.arrivals += float64(w.Arrivals)
			s.completions += float64(w.Completions)
			s.met += float64(w.MetBoth)
			for a, n := range w.Replicas {
				s.price += float64(n) * f.ReplicaPrice(name, a)
			}
		}
	}
	var all series
	for i, s := range sums {
		if s.windows == 0 {
			continue
		}
		hours := float64(i) * width / 3600
		all.rate = append(all.rate, plotter.XY{X: hours, Y: s.arrivals / (s.windows * f.Config.Times.Window)})
		all.cost = append(all.cost, plotter.XY{X: hours, Y: s.price / s.windows})
		if s.completions > 0 {
			all.missed = append(all.missed, plotter.XY{X: hours, Y: 100 * (1 - s.met/s.completions)})
		}
	}
	return all
}

func newPlot() *plot.Plot {
	p := plot.New()
	for _, style := range []*draw.TextStyle{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label} {
		style.Font.Variant = "Sans"
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{0xd0}, color.Gray{0xd0}
	p.Add(grid)
	return p
}

func addLine(p *plot.Plot, points plotter.XYs, c color.Color) (*plotter.Line, error) {
	line, err := plotter.NewLine(points)
	if err != nil {
		return nil, err
	}
	line.Color, line.Width, line.StepStyle = c, vg.Points(1), plotter.PostStep
	p.Y.Min = 0
	p.Add(line)
	return line, nil
}

// logTicks of an axis are all digits times powers of ten. Those with numbers are powers of ten where the axis is long, 1, 2 and 5 times them where
// it is not, and all of them where it is short.
func logTicks(least, most float64) []plot.Tick {
	numbered := []int{1, 2, 5}
	switch {
	case most/least > 1000:
		numbered = []int{1}
	case most/least < 5:
		numbered = []int{1, 2, 3, 4, 5, 6, 7, 8, 9}
	}
	var ticks []plot.Tick
	for power := math.Floor(math.Log10(least)); power <= math.Log10(most); power++ {
		for digit := 1; digit <= 9; digit++ {
			tick := plot.Tick{Value: float64(digit) * math.Pow(10, power)}
			if tick.Value < least || tick.Value > most {
				continue
			}
			if slices.Contains(numbered, digit) {
				tick.Label = strconv.FormatFloat(tick.Value, 'g', 6, 64)
			}
			ticks = append(ticks, tick)
		}
	}
	return ticks
}

func newLegend() plot.Legend {
	l := plot.NewLegend()
	l.Top, l.Left, l.Padding = true, true, vg.Points(2)
	l.TextStyle.Font.Variant = "Sans"
	return l
}

// save plots below one another, with a legend to the right.
func save(file string, legend plot.Legend, plots ...*plot.Plot) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	height := pictureHeight * (1 + vg.Length(len(plots)-1)/3)
	picture, err := draw.NewFormattedCanvas(pictureWidth, height, "svg")
	if err != nil {
		return err
	}
	canvas := draw.New(picture)
	canvas.SetColor(color.White)
	canvas.Fill(canvas.Rectangle.Path())
	const margin = 8
	left := draw.Crop(canvas, margin, -legendWidth, margin, -margin)
	rows := make([][]*plot.Plot, len(plots))
	for i, p := range plots {
		rows[i] = []*plot.Plot{p}
	}
	for i, cells := range plot.Align(rows, draw.Tiles{Rows: len(plots), Cols: 1, PadY: margin}, left) {
		plots[i].Draw(cells[0])
	}
	legend.Draw(draw.Crop(canvas, pictureWidth-legendWidth+margin, -margin, margin, -3*margin))
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := picture.WriteTo(out); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

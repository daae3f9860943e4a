package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"

	"gonum.org/v1/plot"

	"github.com/llm-inferno/inferno/optimizer/evaluation/advise"
	"github.com/llm-inferno/inferno/optimizer/evaluation/policy"
)

// reportFile is the page of a report, in its directory.
const reportFile = "report.html"

//go:embed advisereport.html
var reportText string

// reportPage escapes all that it is given for where it stands: names come from whoever may create workloads.
var reportPage = template.Must(template.New(reportFile).Funcs(template.FuncMap{
	"percent": percent, "hundred": func(x float64) float64 { return 100 * x }, "facts": factsOf, "elsewhere": elsewhere, "loadPicture": loadPicture, "replicasPicture": replicasPicture,
	"fitPictures": fitPictures, "costPicture": costPicture, "time": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") },
}).Parse(reportText))

// writeReport writes the advice as one page that needs nothing else.
func writeReport(dir string, r *advise.Report, force bool) error {
	var page bytes.Buffer
	if err := reportPage.Execute(&page, map[string]any{"Report": r, "Verdict": verdict(r), "Notes": notes(r)}); err != nil {
		return err
	}
	return writeFiles("report", dir, map[string][]byte{reportFile: page.Bytes()}, force)
}

// fact of a workload, and where it was read or why it is assumed.
type fact struct{ Name, Value, From string }

// factsOf a server that are known.
func factsOf(s *advise.Server) []fact {
	w := s.Serves
	var facts []fact
	add := func(name string, value any, from string, assumed bool) {
		if from == "" {
			return
		}
		if assumed {
			from = "assumed: " + from
		}
		facts = append(facts, fact{name, fmt.Sprint(value), from})
	}
	add("engine", w.Engine.Value, w.Engine.From, w.Engine.Assumed)
	add("model", w.Model.Value, w.Model.From, w.Model.Assumed)
	add("precision of the weights", w.Precision.Value, w.Precision.From, w.Precision.Assumed)
	add("tensor parallelism", w.Tensor.Value, w.Tensor.From, w.Tensor.Assumed)
	add("cards of a replica", w.Cards.Value, w.Cards.From, w.Cards.Assumed)
	add("most requests in a batch", w.MaxNumSeqs.Value, w.MaxNumSeqs.From, w.MaxNumSeqs.Assumed)
	add("most tokens of an iteration", w.MaxNumBatchedTokens.Value, w.MaxNumBatchedTokens.From, w.MaxNumBatchedTokens.Assumed)
	add("most tokens of a request", w.MaxModelLen.Value, w.MaxModelLen.From, w.MaxModelLen.Assumed)
	return facts
}

// Size of a picture and its margins, in units of SVG.
const (
	pictureWide, pictureHigh = 680.0, 220.0
	marginLeft, marginBottom = 56.0, 36.0
	marginRight, marginTop   = 40.0, 10.0
)

// picture with lines or dots. Title and Text say in words what is to be seen.
type picture struct {
	Title, Text    string
	XLabel, YLabel string
	X, Y           []mark
	Lines          []stroke
	Dots           []dot
	xMost, yMost   float64
}

// mark of an axis.
type mark struct {
	At    float64
	Label string
}

// stroke is a line, in pieces where something is not known between them. Style is its place among the styles of lines.
type stroke struct {
	Name   string
	Style  int
	Pieces []string
}

// dot with what it is, where that is said; Left says that it is said to the left of it.
type dot struct {
	X, Y  float64
	Label string
	Left  bool
}

// Wide, High and the edges of the area that is drawn on, for the page.
func (*picture) Wide() float64   { return pictureWide }
func (*picture) High() float64   { return pictureHigh }
func (*picture) Left() float64   { return marginLeft }
func (*picture) Right() float64  { return pictureWide - marginRight }
func (*picture) Bottom() float64 { return pictureHigh - marginBottom }
func (*picture) Middle() float64 { return (marginLeft + pictureWide - marginRight) / 2 }

func (p *picture) x(v float64) float64 { return marginLeft + v/p.xMost*(p.Right()-marginLeft) }
func (p *picture) y(v float64) float64 {
	return p.Bottom() - v/p.yMost*(p.Bottom()-marginTop)
}

// scale both axes from 0 to the most; that of y is marked with numbers.
func (p *picture) scale(xMost, yMost float64) {
	const room = 1.05 // above the highest
	if !(yMost > 0) {
		yMost = 1
	}
	p.xMost, p.yMost = xMost, yMost*room
	p.Y = marks(p.yMost, p.y)
}

// marks of an axis from 0 to the most, at round numbers.
func marks(most float64, place func(float64) float64) []mark {
	var all []mark
	for _, t := range (plot.DefaultTicks{}).Ticks(0, most) {
		if !t.IsMinor() && t.Value >= 0 && t.Value <= most {
			all = append(all, mark{place(t.Value), t.Label})
		}
	}
	return all
}

// hours marks the axis of x with times from one to another.
func (p *picture) hours(from, until time.Time) {
	const steps = 4
	p.XLabel = "time (UTC)"
	format := "15:04"
	if until.Sub(from) > 24*time.Hour {
		format = "Jan 2 15:04"
	}
	for i := range steps + 1 {
		share := float64(i) / steps
		p.X = append(p.X, mark{p.x(share), from.Add(time.Duration(share * float64(until.Sub(from)))).UTC().Format(format)})
	}
}

// line over a time that is 1 long.
func (p *picture) line(name string, s advise.Series) {
	line := stroke{Name: name, Style: len(p.Lines)}
	var piece []string
	end := func() {
		if len(piece) > 0 {
			line.Pieces = append(line.Pieces, strings.Join(piece, " "))
		}
		piece = nil
	}
	for i, v := range s {
		if v == nil {
			end()
			continue
		}
		for _, edge := range []int{i, i + 1} { // it holds for all of its part
			piece = append(piece, fmt.Sprintf("%.1f,%.1f", p.x(float64(edge)/float64(len(s))), p.y(*v)))
		}
	}
	end()
	p.Lines = append(p.Lines, line)
}

// rangeOf a series in words, and the most of it; 0 where nothing is known.
func rangeOf(s advise.Series) (string, float64) {
	least, most := math.Inf(1), math.Inf(-1)
	for _, v := range s {
		if v != nil {
			least, most = min(least, *v), max(most, *v)
		}
	}
	if least > most {
		return "not known", 0
	}
	if least == most {
		return fmt.Sprintf("%.3g", most), most
	}
	return fmt.Sprintf("%.3g to %.3g", least, most), most
}

func loadPicture(r *advise.Report, s *advise.ServerReport) *picture {
	words, most := rangeOf(s.Rate)
	p := &picture{Title: "Load of " + s.ID(), Text: "Requests per second over time: " + words + ". Gaps are times of which the load is not known.", YLabel: "requests/s"}
	p.scale(1, most)
	p.hours(r.From, r.Until)
	p.line("measured", s.Rate)
	return p
}

func replicasPicture(r *advise.Report, s *advise.ServerReport) *picture {
	words, most := rangeOf(s.Ready)
	p := &picture{Title: "Replicas of " + s.ID(), Text: "Ready replicas over time. As it was: " + words + ".", YLabel: "ready replicas"}
	var ours advise.Series
	for _, row := range r.Rows {
		if row.Policy == policy.NameInfernoFixed {
			ours = row.Replicas[s.ID()]
		}
	}
	if words, high := rangeOf(ours); high > 0 {
		p.Text += " Under inferno: " + words + "."
		most = max(most, high)
	}
	p.scale(1, most)
	p.hours(r.From, r.Until)
	p.line("as it was", s.Ready)
	if len(ours) > 0 {
		p.line("under inferno", ours)
	}
	return p
}

// fitPictures of ITL and TTFT, of those that were measured.
func fitPictures(f *advise.Fit) []*picture {
	var all []*picture
	for _, c := range []struct {
		name   string
		checks []advise.Check
		off    *float64
	}{{"ITL", f.ITL, f.ITLError}, {"TTFT", f.TTFT, f.TTFTError}} {
		if len(c.checks) == 0 {
			continue
		}
		most := 0.0
		for _, k := range c.checks {
			most = max(most, 1e3*k.Measured, 1e3*k.Predicted)
		}
		p := &picture{
			Title: fmt.Sprintf("%s of %s on %s", c.name, f.Model, f.Accelerator), XLabel: "measured (ms)", YLabel: "predicted (ms)",
			Text: fmt.Sprintf("Predicted over measured, %d dots of what was not learned from; off by %s in the median. On the line a prediction is right.", len(c.checks), percent(c.off)),
		}
		p.scale(most, most)
		p.xMost = p.yMost
		p.X = marks(p.xMost, p.x)
		p.Lines = []stroke{{Name: "right", Style: 1, Pieces: []string{fmt.Sprintf("%.1f,%.1f %.1f,%.1f", p.x(0), p.y(0), p.x(p.xMost), p.y(p.yMost))}}}
		for _, k := range c.checks {
			p.Dots = append(p.Dots, dot{X: p.x(1e3 * k.Measured), Y: p.y(1e3 * k.Predicted)})
		}
		all = append(all, p)
	}
	return all
}

// costPicture has a dot for each way to have run the time: cost over the share of requests that missed a target.
func costPicture(r *advise.Report) *picture {
	missed, cost := 0.0, 0.0
	var words []string
	for _, row := range r.Rows {
		missed, cost = max(missed, 100*(1-row.Attainment)), max(cost, row.CostPerHour)
		words = append(words, fmt.Sprintf("%s: %.0f ¢/h, %.2f %%", strings.TrimSpace(row.Title()+" "+row.Settings), row.CostPerHour, 100*(1-row.Attainment)))
	}
	p := &picture{Title: "Cost and requests that missed a target", Text: strings.Join(words, "; ") + ".", XLabel: "requests that missed a target (%)", YLabel: "cost (¢/h)"}
	p.scale(max(missed, 1), cost)
	p.X = marks(p.xMost, p.x)
	for _, row := range r.Rows {
		x := p.x(100 * (1 - row.Attainment))
		p.Dots = append(p.Dots, dot{x, p.y(row.CostPerHour), row.Title(), x > p.Middle()})
	}
	return p
}

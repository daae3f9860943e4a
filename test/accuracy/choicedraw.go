package main

import (
	"fmt"
	"image/color"
	"math"
	"os"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/llm-inferno/inferno/optimizer/fitting"
)

// drawChoice draws, for one model, the cheapest measured configuration within an ITL, with roles and without, for each of two lengths of prompts.
func drawChoice(name, data string, pairs [][]fitting.Point) error {
	ways, err := waysOf(data, pairs)
	if err != nil {
		return err
	}
	model := family("deepseek-ai/DeepSeek-R1")
	var plots []*plot.Plot
	for _, in := range []float64{1024, 8192} {
		p := plot.New()
		p.Title.Text = fmt.Sprintf("%.0f tokens in, 1024 out", in)
		p.X.Label.Text, p.Y.Label.Text = "ITL at most, ms", "$ for a million tokens"
		p.X.Scale, p.Y.Scale, p.X.Tick.Marker, p.Y.Tick.Marker = plot.LogScale{}, plot.LogScale{}, ticks{5, 10, 20, 40, 80}, ticks{0.1, 0.2, 0.5, 1, 2, 5, 10, 20}
		for i, apart := range []bool{true, false} {
			var line plotter.XYs
			of := slices.DeleteFunc(slices.Clone(ways), func(w *way) bool {
				return family(w.Group["model"]) != model || w.Requests.InputTokens != in || w.Requests.OutputTokens != 1024 || (w.Roles != nil) != apart
			})
			for _, ms := range []float64{6, 8, 10, 12, 15, 20, 30, 40, 60, 80} {
				c := &cell{itl: ms / 1e3, ttft: map[float64]float64{1024: 2, 8192: 5}[in], ways: of}
				if best, cost := c.best(measuredOf, 1); best != nil {
					line = append(line, plotter.XY{X: ms, Y: cost})
				}
			}
			l, points, err := plotter.NewLinePoints(line)
			if err != nil {
				return err
			}
			l.Color = []color.Color{color.RGBA{R: 0x1f, G: 0x77, B: 0xb4, A: 0xff}, color.RGBA{R: 0xd6, G: 0x27, B: 0x28, A: 0xff}}[i]
			points.Color, l.Width = l.Color, vg.Points(1.5)
			p.Add(l, points)
			p.Legend.Add([]string{"roles", "replicas that do both"}[i], l, points)
		}
		p.Legend.Top = true
		p.Add(plotter.NewGrid())
		plots = append(plots, p)
	}
	img := vgimg.New(vg.Points(720), vg.Points(300))
	for i, canvas := range plot.Align([][]*plot.Plot{plots}, draw.Tiles{Rows: 1, Cols: len(plots), PadX: vg.Points(16), PadRight: vg.Points(8)}, draw.New(img))[0] {
		plots[i].Draw(canvas)
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if _, err := (vgimg.PngCanvas{Canvas: img}).WriteTo(f); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

// ticks at these values that an axis holds.
type ticks []float64

// Ticks implements [plot.Ticker].
func (t ticks) Ticks(low, high float64) (list []plot.Tick) {
	for _, v := range t {
		if v >= low*(1-1e-9) && v <= high*(1+1e-9) && !math.IsNaN(v) {
			list = append(list, plot.Tick{Value: v, Label: fmt.Sprint(v)})
		}
	}
	return list
}

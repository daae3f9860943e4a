package main

import (
	"image/color"
	"math"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

var (
	measuredColour  = color.RGBA{R: 0xd5, G: 0x5e, B: 0x00, A: 0xff}
	predictedColour = color.RGBA{R: 0x00, G: 0x72, B: 0xb2, A: 0xff}
	bandColour      = color.NRGBA{R: 0x00, G: 0x72, B: 0xb2, A: 0x40}
)

// plotTuning draws one column for each pair: latencies predicted and measured, then each parameter with two standard deviations either way.
func plotTuning(name string, steps []tuneStep) error {
	var order []pair
	columns := map[pair][]tuneStep{}
	rows := 0
	for _, s := range steps {
		key := pair{s.Model, s.Accelerator}
		if len(s.SD) == 0 && s.PredictedITL == nil {
			continue
		}
		if columns[key] == nil {
			order = append(order, key)
		}
		columns[key] = append(columns[key], s)
		rows = max(rows, 2+len(s.names()))
	}
	const width, height = 7 * vg.Inch, 2 * vg.Inch
	tiles := draw.Tiles{Rows: max(1, rows), Cols: max(1, len(order)), PadX: vg.Millimeter * 4, PadY: vg.Millimeter * 3}
	canvas := vgimg.New(width*vg.Length(tiles.Cols), height*vg.Length(tiles.Rows))
	all := make([][]*plot.Plot, tiles.Rows)
	for i := range all {
		all[i] = make([]*plot.Plot, tiles.Cols)
	}
	for c, key := range order {
		panels, err := panelsOf(key, columns[key])
		if err != nil {
			return err
		}
		for r, p := range panels {
			all[r][c] = p
		}
	}
	drawn := plot.Align(all, tiles, draw.New(canvas))
	for r := range all {
		for c, p := range all[r] {
			if p != nil {
				p.Draw(drawn[r][c])
			}
		}
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func panelsOf(key pair, steps []tuneStep) ([]*plot.Plot, error) {
	itl, err := latencyPanel(key.model+" on "+key.accelerator, "ITL, ms", steps, func(s *tuneStep) (*float64, *float64) { return s.ITL, s.PredictedITL })
	if err != nil {
		return nil, err
	}
	ttft, err := latencyPanel("", "TTFT, ms", steps, func(s *tuneStep) (*float64, *float64) { return s.TTFT, s.PredictedTTFT })
	if err != nil {
		return nil, err
	}
	panels := []*plot.Plot{itl, ttft}
	for _, name := range steps[len(steps)-1].names() {
		p, err := parameterPanel(name, steps)
		if err != nil {
			return nil, err
		}
		panels = append(panels, p)
	}
	for _, p := range panels {
		p.X.Min, p.X.Max = 1, float64(max(2, len(steps)))
	}
	panels[len(panels)-1].X.Label.Text = "observation"
	return panels, nil
}

func latencyPanel(title, label string, steps []tuneStep, of func(*tuneStep) (measured, predicted *float64)) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text, p.Y.Label.Text = title, label
	var measured, predicted plotter.XYs
	for i := range steps {
		m, q := of(&steps[i])
		if m != nil {
			measured = append(measured, plotter.XY{X: float64(i + 1), Y: *m})
		}
		if q != nil {
			predicted = append(predicted, plotter.XY{X: float64(i + 1), Y: *q})
		}
	}
	if len(measured) == 0 || len(predicted) == 0 {
		return p, nil
	}
	dots, err := plotter.NewScatter(measured)
	if err != nil {
		return nil, err
	}
	dots.Color = measuredColour
	line, err := plotter.NewLine(predicted)
	if err != nil {
		return nil, err
	}
	line.Color = predictedColour
	p.Add(plotter.NewGrid(), line, dots)
	p.Legend.Add("measured", dots)
	p.Legend.Add("predicted before", line)
	p.Legend.Top = true
	return p, nil
}

func parameterPanel(name string, steps []tuneStep) (*plot.Plot, error) {
	p := plot.New()
	p.Y.Label.Text = name
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: 2}
	var middle, low, high plotter.XYs
	for i, s := range steps {
		v, ok := s.Parameters[name]
		if !ok || !(v > 0) {
			continue
		}
		x, wide := float64(i+1), math.Exp(2*s.SD[name])
		middle = append(middle, plotter.XY{X: x, Y: v})
		low = append(low, plotter.XY{X: x, Y: v / wide})
		high = append(high, plotter.XY{X: x, Y: v * wide})
	}
	if len(middle) == 0 {
		return p, nil
	}
	for i := len(low) - 1; i >= 0; i-- {
		high = append(high, low[i])
	}
	band, err := plotter.NewPolygon(high)
	if err != nil {
		return nil, err
	}
	band.Color, band.LineStyle.Width = bandColour, 0
	line, err := plotter.NewLine(middle)
	if err != nil {
		return nil, err
	}
	line.Color = predictedColour
	p.Add(plotter.NewGrid(), band, line)
	return p, nil
}

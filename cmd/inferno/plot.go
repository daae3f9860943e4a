package main

import (
	"errors"
	"fmt"
	"image/color"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

func newPlotCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plot",
		Short: "Draw what was measured and predicted",
		Args:  noArguments,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPlotFitCommand())
	return cmd
}

func newPlotFitCommand() *cobra.Command {
	var (
		fit, data, out string
		raw            bool
		files          knowledgeFiles
	)
	cmd := &cobra.Command{
		Use:   "fit --data points.csv --out picture.svg [--fit fitted.json]",
		Short: "Draw predicted against measured latencies, a colour for each group",
		Long: `Draws the ratio of predicted to measured ITL and TTFT over what was measured, a colour for each group, as SVG or PNG by the name of the
file. Patterns in it are what the law misses. Without --fit the prior is drawn.`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			if data == "" || out == "" {
				return badInput{errors.New("--data and --out must be given")}
			}
			knowledge, err := files.load()
			if err != nil {
				return err
			}
			points, err := readFile(data, func(r io.Reader) (*fitting.Points, error) { return fitting.ReadPoints(r, true) })
			if err != nil {
				return err
			}
			var models jsonspec.ModelData
			if fit != "" {
				if models, err = readFile(fit, readModels); err != nil {
					return err
				}
			}
			predictor, err := fitting.NewPredictor(queueing.ContinuousBatching{}, knowledge, models)
			if err != nil {
				return badInput{err}
			}
			predictor.Uncalibrated = raw
			return drawFit(out, predictor, points)
		},
	}
	f := cmd.Flags()
	f.StringVar(&data, "data", "", "CSV of measured points")
	f.StringVar(&fit, "fit", "", "model data that inferno fit wrote")
	f.StringVar(&out, "out", "", "picture to write: .svg or .png")
	f.BoolVar(&raw, "law-only", false, "leave out the calibration near measured points")
	files.register(cmd)
	return cmd
}

// palette is colour-blind safe (Okabe & Ito).
var palette = []color.Color{
	color.RGBA{0xE6, 0x9F, 0x00, 0xFF}, color.RGBA{0x56, 0xB4, 0xE9, 0xFF}, color.RGBA{0x00, 0x9E, 0x73, 0xFF}, color.RGBA{0x00, 0x72, 0xB2, 0xFF},
	color.RGBA{0xD5, 0x5E, 0x00, 0xFF}, color.RGBA{0xCC, 0x79, 0xA7, 0xFF}, color.RGBA{0x66, 0x66, 0x66, 0xFF},
}

func drawFit(out string, predictor *fitting.Predictor, points *fitting.Points) error {
	groups := points.Groups(func(fitting.Point) bool { return true })
	var itl, ttft []plotter.XYs
	for _, g := range groups {
		var a, b plotter.XYs
		for _, p := range g {
			q, err := predictor.Predict(p)
			if err != nil {
				return badInput{fmt.Errorf("line %d: %w", p.Line, err)}
			}
			a = append(a, plotter.XY{X: p.ITL * 1e3, Y: q.ITL.Mean / p.ITL})
			b = append(b, plotter.XY{X: p.TTFT * 1e3, Y: q.TTFT.Mean / p.TTFT})
		}
		itl, ttft = append(itl, a), append(ttft, b)
	}
	var plots []*plot.Plot
	for _, c := range []struct {
		title string
		data  []plotter.XYs
	}{{"Time between tokens", itl}, {"Time to first token", ttft}} {
		p, err := ratios(c.title, c.data)
		if err != nil {
			return err
		}
		plots = append(plots, p)
	}
	const width, height = 12 * vg.Inch, 5 * vg.Inch
	canvas, err := draw.NewFormattedCanvas(width, height, format(out))
	if err != nil {
		return badInput{err}
	}
	tiles := draw.Tiles{Rows: 1, Cols: len(plots), PadX: vg.Points(12)}
	aligned := plot.Align([][]*plot.Plot{plots}, tiles, draw.New(canvas))
	for i, p := range plots {
		p.Draw(aligned[0][i])
	}
	f, err := os.Create(out)
	if err != nil {
		return badInput{err}
	}
	if _, err := canvas.WriteTo(f); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// format of a picture by the end of its name.
func format(name string) string {
	if e := filepath.Ext(name); len(e) > 1 {
		return e[1:]
	}
	return "svg"
}

// ratios draws predicted over measured, on logarithms, cut to a factor of 10 so that outliers do not hide the others.
func ratios(title string, groups []plotter.XYs) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = title
	p.X.Label.Text, p.Y.Label.Text = "measured (ms)", "predicted / measured"
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.ConstantTicks{
		{Value: 0.1, Label: "0.1"}, {Value: 0.2, Label: "0.2"}, {Value: 0.5, Label: "0.5"}, {Value: 0.8, Label: "0.8"}, {Value: 1, Label: "1"},
		{Value: 1.25, Label: "1.25"}, {Value: 2, Label: "2"}, {Value: 5, Label: "5"}, {Value: 10, Label: "10"},
	}
	p.Y.Min, p.Y.Max = 0.1, 10
	p.Add(plotter.NewGrid())
	for i, g := range groups {
		for j := range g {
			g[j].Y = math.Max(0.1, math.Min(10, g[j].Y))
		}
		s, err := plotter.NewScatter(g)
		if err != nil {
			return nil, err
		}
		s.GlyphStyle = draw.GlyphStyle{Color: palette[i%len(palette)], Radius: vg.Points(1.6), Shape: draw.CircleGlyph{}}
		p.Add(s)
	}
	return p, nil
}

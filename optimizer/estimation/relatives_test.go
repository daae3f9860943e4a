package estimation_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// usual is an operating point, and physical the prior of a model on a card.
var usual = estimation.Point{Running: 32, InputTokens: 1000, OutputTokens: 250}

func physical(t *testing.T, accelerator string) jsonspec.Performance {
	t.Helper()
	a, err := fitting.BuiltIn().Assume("meta-llama/Llama-3.1-8B-Instruct", jsonspec.ModelProperties{}, accelerator, jsonspec.AcceleratorProperties{}, jsonspec.Performance{AccCount: 1})
	if err != nil {
		t.Fatal(err)
	}
	return a.Performance
}

// slower is by how much the logarithm of ITL at a point is above that of the prior.
func slower(t *testing.T, p, prior jsonspec.Performance, at estimation.Point) float64 {
	t.Helper()
	itl := func(p jsonspec.Performance) float64 {
		law, err := queueing.NewLaw(p)
		if err != nil {
			t.Fatal(err)
		}
		return law.IterationTime(queueing.Batch{Decodes: at.Running, DecodeContext: at.Running * (at.InputTokens + at.OutputTokens/2)})
	}
	return math.Log(itl(p) / itl(prior))
}

func uncertainty(t *testing.T, p jsonspec.Performance, at estimation.Point) float64 {
	t.Helper()
	sd, err := estimation.Uncertainty(p, at)
	if err != nil {
		t.Fatal(err)
	}
	return sd
}

// Whatever relatives showed, a prior moves towards them and never beyond any of them, is never less sure anywhere, and what has nothing in common with
// it changes nothing.
func TestBorrow(t *testing.T) {
	prior := physical(t, "H100")
	r := rand.New(rand.NewPCG(7, 7))
	for i := range 200 {
		var list []estimation.Relative
		low, high, agree := 0.0, 0.0, i%2 == 0
		for k := range 1 + r.IntN(6) {
			one := estimation.Relative{Model: "m", Accelerator: fmt.Sprint("card ", k), At: usual, Before: 0.2 + 0.4*r.Float64(), Shift: r.NormFloat64() / 2}
			if r.IntN(3) == 0 {
				one.Model, one.Accelerator = fmt.Sprint("model ", k), "H100"
			}
			if agree {
				one.Shift = math.Abs(one.Shift)
			}
			one.After = one.Before * r.Float64() * 0.99
			list = append(list, one)
			low, high = min(low, one.Shift/one.Before), max(high, one.Shift/one.Before)
		}
		got := estimation.Borrow("m", prior, list)
		if !reflect.DeepEqual(got, estimation.Borrow("m", prior, list)) {
			t.Fatal("the same relatives tell something else")
		}
		sd := uncertainty(t, prior, usual)
		shift := slower(t, got, prior, usual) / sd
		const bent = 0.05 // the law is no straight line in its logarithms, and iterations with prompts are left out here
		if shift < low*(1+bent)-bent || shift > high*(1+bent)+bent || agree && shift < 0 {
			t.Errorf("%+v: moved by %.3f standard deviations, beyond %.3f to %.3f", list, shift, low, high)
		}
		for _, n := range []float64{1, 8, 32, 128} {
			at := usual
			at.Running = n
			// By the parameters of the prior, for which the gradient is.
			width := prior
			law := *prior.Law
			law.Order, law.Covariance = got.Law.Order, got.Law.Covariance
			width.Law = &law
			if before, after := uncertainty(t, prior, at), uncertainty(t, width, at); after > before*(1+1e-9) {
				t.Errorf("%v running: known to %.4f, before to %.4f", n, after, before)
			}
		}
		strange := []estimation.Relative{list[0]}
		strange[0].Model, strange[0].Accelerator = "other", "other"
		if !reflect.DeepEqual(prior, estimation.Borrow("m", prior, strange)) || !reflect.DeepEqual(prior, estimation.Borrow("m", prior, nil)) {
			t.Fatal("moved by nothing")
		}
	}
	// A relative of the same model tells more than one on the same card, two more than one, and one that is well known leaves less unknown.
	one := estimation.Relative{Model: "m", Accelerator: "A", At: usual, Before: 0.4, After: 0.05, Shift: 0.4}
	move := func(list ...estimation.Relative) float64 {
		return slower(t, estimation.Borrow("m", prior, list), prior, usual)
	}
	left := func(r estimation.Relative) float64 {
		return uncertainty(t, estimation.Borrow("m", prior, []estimation.Relative{r}), usual)
	}
	card, vague, two := one, one, one
	card.Model, card.Accelerator = "n", "H100"
	vague.After = 0.35
	two.Accelerator = "B"
	if !(move(one) > move(card) && move(card) > 0 && move(one, two) > move(one)) {
		t.Errorf("moved by %.3f by the model, %.3f by the card, %.3f by two", move(one), move(card), move(one, two))
	}
	if !(left(one) < left(vague) && left(vague) < left(card)*1.01 && left(one) < uncertainty(t, prior, usual)) {
		t.Errorf("known to %.3f, to %.3f after the model, %.3f after what is hardly known, %.3f after the card", uncertainty(t, prior, usual), left(one), left(vague), left(card))
	}
}

package fitting

import (
	"flag"
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

var measureAkin = flag.Bool("akin", false, "measure how alike a model does on different accelerators: half a minute")

// How alike a model does on different accelerators is as measured: correlations of what fitted pairs have other than their prior, where points tell both.
func TestAkin(t *testing.T) {
	if !*measureAkin {
		t.Skip("fits 93 pairs; go test ./optimizer/fitting -run TestAkin -akin")
	}
	points := pointsOf(t, "measured/silicon.csv")
	groups := map[string][]Point{}
	for _, p := range points.Rows {
		groups[p.Group.Key()] = append(groups[p.Group.Key()], p)
	}
	k := BuiltIn()
	var pairs []lesson
	for _, points := range groups {
		if s, err := k.setting(points[0].Group); err == nil && len(points) >= leastPoints {
			l := lesson{setting: s, points: points}
			l.fit(&k.Experience)
			pairs = append(pairs, l)
		}
	}
	for j, name := range multiplierNames {
		both, each, n := 0.0, 0.0, 0
		for a := range pairs {
			for b := range a {
				p, q := &pairs[a], &pairs[b]
				if p.points[0].Group["model"] != q.points[0].Group["model"] || p.kind.engine != q.kind.engine || p.kind.cards != q.kind.cards || p.kind.accelerator == q.kind.accelerator {
					continue
				}
				ofP, sd := k.Experience.prior(p.kind, p.vague)
				ofQ, _ := k.Experience.prior(q.kind, q.vague)
				if told := sd[j] * sd[j] / 2; p.variance[j] > told || q.variance[j] > told {
					continue
				}
				x, y := p.at[j]-ofP[j], q.at[j]-ofQ[j]
				both, each, n = both+x*y, each+(x*x+y*y)/2, n+1
			}
		}
		measured := both / each
		t.Logf("%s: %.2f of %d", name, measured, n)
		if n > 0 && math.Abs(math.Max(0, measured)-akin[j]) > 0.06 {
			t.Errorf("%s is %.2f, measured %.2f", name, akin[j], measured)
		}
	}
}

// widths are the spreads of the logarithms of what draws differ in: weights, compute and prefill.
func widths(t *testing.T, typ string, s *Sibling) (mean, sd [3]float64) {
	t.Helper()
	const n = 200
	laws, err := BuiltIn().Draws("meta-llama/Llama-3.1-8B-Instruct", jsonspec.ModelProperties{}, typ, jsonspec.AcceleratorProperties{Type: typ}, matched(typ), s, n)
	if err != nil {
		t.Fatal(err)
	}
	for i, of := range [3]func(int) float64{
		func(k int) float64 { return laws[k].Weights }, func(k int) float64 { return laws[k].Compute }, func(k int) float64 { return laws[k].Prefill },
	} {
		mean[i] = math.Log(of(0))
		for k := 1; k < n; k++ {
			d := math.Log(of(k)) - mean[i]
			sd[i] += d * d / (n - 1)
		}
		sd[i] = math.Sqrt(sd[i])
	}
	return mean, sd
}

func matched(typ string) jsonspec.Performance {
	return jsonspec.Performance{Acc: typ, AccCount: 1, Match: map[string]string{"engine": "vllm", "precision": "bf16"}}
}

// A sibling of which nothing was learned tells nothing. One whose prompts took twice as long as was thought has them take longer elsewhere, too, by less; what
// is known of it narrows the prior elsewhere, by less than on its own accelerator, where what was learned is all that counts.
func TestSiblingsTellOfEachOther(t *testing.T) {
	assumed, err := BuiltIn().Assume("meta-llama/Llama-3.1-8B-Instruct", jsonspec.ModelProperties{}, "H100", jsonspec.AcceleratorProperties{Type: "H100"}, matched("H100"))
	if err != nil {
		t.Fatal(err)
	}
	assumed.Performance.KVTokens = assumed.KVTokens
	fresh := &Sibling{"H100", assumed.Performance}
	for _, typ := range []string{"H100", "L40S"} {
		mean, sd := widths(t, typ, nil)
		meanBeside, sdBeside := widths(t, typ, fresh)
		for i := range mean {
			if math.Abs(mean[i]-meanBeside[i]) > 1e-9 || math.Abs(sd[i]-sdBeside[i]) > 1e-9 {
				t.Errorf("%s: %v, %v without a sibling, %v, %v beside one of which nothing is known", typ, mean, sd, meanBeside, sdBeside)
			}
		}
	}
	law := *assumed.Law
	law.Parameters = map[string]float64{}
	for name, x := range assumed.Law.Parameters {
		law.Parameters[name] = 2 * x
	}
	law.Covariance = make([][]float64, len(law.Order))
	for i := range law.Covariance {
		law.Covariance[i] = make([]float64, len(law.Order))
		law.Covariance[i][i] = 0.01 * 0.01
	}
	learned := assumed.Performance
	learned.Law = &law
	for _, typ := range []string{"H100", "L40S"} {
		mean, sd := widths(t, typ, nil)
		moved, narrowed := widths(t, typ, &Sibling{"H100", learned})
		for i, name := range []string{"weights", "compute", "prefill"} {
			by := (moved[i] - mean[i]) / math.Ln2
			if typ == "H100" && (math.Abs(by-1) > 1e-9 || narrowed[i] > 0.02) {
				t.Errorf("%s on its own accelerator moved by %.2f of what was learned, with a spread of %.3f", name, by, narrowed[i])
			}
			if typ == "L40S" && (by < 0 || by > 0.9 || narrowed[i] > sd[i]+1e-9 || narrowed[i] < 0.1) {
				t.Errorf("%s elsewhere moved by %.2f of what was learned, with a spread of %.3f of %.3f", name, by, narrowed[i], sd[i])
			}
			if typ == "L40S" && name == "prefill" && (by < 0.3 || narrowed[i] > 0.9*sd[i]) {
				t.Errorf("%s elsewhere moved by %.2f only, with a spread of %.3f of %.3f", name, by, narrowed[i], sd[i])
			}
		}
	}
}

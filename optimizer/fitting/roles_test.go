package fitting

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

const rolesHeader = "engine,model,accelerator,precision,prefill_workers,prefill_tensor_parallel,prefill_attention_dp,prefill_expert_parallel," +
	"decode_workers,decode_tensor_parallel,decode_attention_dp,decode_expert_parallel,input_tokens,output_tokens,concurrency,speculative,ttft_ms,itl_ms\n"

func rolesTable(t *testing.T, rows ...string) *Points {
	t.Helper()
	p, err := ReadPoints(strings.NewReader(rolesHeader+strings.Join(rows, "\n")), true)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRolesFaults(t *testing.T) {
	_, err := ReadPoints(strings.NewReader(rolesHeader+strings.Join([]string{
		"sglang,deepseek-ai/DeepSeek-R1,h200_sxm,fp8,2,8,1,8,,8,1,8,1024,1024,16,none,100,10",
		"sglang,deepseek-ai/DeepSeek-R1,h200_sxm,fp8,,,,,1,8,1,8,1024,1024,16,none,100,10",
		"sglang,deepseek-ai/DeepSeek-R1,h200_sxm,fp8,1,8,1,3,1,8,1,8,1024,1024,16,none,100,10",
		"sglang,deepseek-ai/DeepSeek-R1,h200_sxm,fp8,0,8,1,8,1,8,1,8,1024,1024,16,eagle,100,10",
	}, "\n")), true)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"line 2: decode_workers: is missing", "line 3: prefill_workers: is missing", "line 4: prefill_expert_parallel: 3 does not divide the 8 cards",
		`line 5: prefill_workers: "0"`, `line 5: speculative: "eagle" is not allowed, must be none, mtp or unknown`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%v", want, err)
		}
	}
}

// TestRolesThatModelsForbid: what does not divide the heads of a model that is known, or spreads more experts than it has, is named, by fits and predictions.
func TestRolesThatModelsForbid(t *testing.T) {
	points := rolesTable(t,
		"sglang,deepseek-ai/DeepSeek-R1,h200_sxm,fp8,1,3,1,1,1,8,1,8,1024,1024,16,none,100,10",
		"sglang,deepseek-ai/DeepSeek-R1,h200_sxm,fp8,1,8,1,8,1,1,512,512,1024,1024,16,none,100,10")
	k := BuiltIn()
	predictor, err := NewPredictor(queueing.ContinuousBatching{}, k, jsonspec.ModelData{})
	if err != nil {
		t.Fatal(err)
	}
	_, fits := k.FitRoles(points, nil, Options{})
	_, heads := predictor.Predict(points.Rows[0])
	_, experts := predictor.Predict(points.Rows[1])
	for _, c := range []struct {
		err  error
		want string
	}{
		{fits, "line 2: prefill_tensor_parallel: 3 does not divide the 128 attention heads"}, {fits, "line 3: decode_expert_parallel: 512 is more than the 256 experts"},
		{heads, "prefill_tensor_parallel: 3"}, {experts, "decode_expert_parallel: 512"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%v lacks %q", c.err, c.want)
		}
	}
}

// rolesBenchmark is a sweep over layouts of an engine that differs from experience, measured without error.
func rolesBenchmark(t *testing.T, h hardware, k Knowledge, engine roleTheta, speculative string) *Points {
	t.Helper()
	var rows []string
	for _, shape := range [][2]int{{1024, 1024}, {8192, 1024}} {
		for _, layout := range []string{"1,8,1,8,1,8,1,8", "1,8,1,8,2,8,1,8", "2,1,8,8,1,1,16,16", "3,1,8,8,1,1,32,32"} {
			for _, clients := range []int{4, 32, 256} {
				rows = append(rows, fmt.Sprintf("sglang,deepseek-ai/DeepSeek-R1,h200_sxm,fp8,%s,%d,%d,%d,%s,1,1", layout, shape[0], shape[1], clients, speculative))
			}
		}
	}
	points := rolesTable(t, rows...)
	for i, p := range points.Rows {
		q, err := h.expect(&k.Experience, engine, engine, p)
		if err != nil {
			t.Fatal(err)
		}
		points.Rows[i].ITL, points.Rows[i].TTFT = q.ITL.Mean, q.TTFT.Mean
	}
	return points
}

// TestRolesFitFindsTheEngine: a fit to half of the layouts predicts the other half, and what it writes predicts as it does.
func TestRolesFitFindsTheEngine(t *testing.T) {
	k := BuiltIn()
	h, err := k.hardwareOf(Group{"engine": "sglang", "model": "deepseek-ai/DeepSeek-R1", "accelerator": "h200_sxm", "precision": "fp8"})
	if err != nil {
		t.Fatal(err)
	}
	engine, _ := k.Experience.roles(h, &k.Roles)
	engine[overhead] += 0.2
	engine[kv] += 0.3
	engine[prompt] -= 0.4
	all := rolesBenchmark(t, h, k, engine, "none")
	train, test := &Points{}, &Points{}
	for i, p := range all.Rows {
		if (i/3)%2 == 0 {
			train.Rows = append(train.Rows, p)
		} else {
			test.Rows = append(test.Rows, p)
		}
	}
	fits, err := k.FitRoles(train, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(jsonspec.ModelData{Roles: []jsonspec.RolesEntry{fits[0].Entry()}})
	if err != nil {
		t.Fatal(err)
	}
	var data jsonspec.ModelData
	if err := json.Unmarshal(text, &data); err != nil {
		t.Fatal(err)
	}
	predictor, err := NewPredictor(queueing.ContinuousBatching{}, Knowledge{Experience: k.Experience, Roles: k.Roles}, data)
	if err != nil {
		t.Fatal(err)
	}
	worse := false
	for _, p := range test.Rows {
		q, err := predictor.Predict(p)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(q.ITL.Mean/p.ITL-1) > 0.03 || math.Abs(q.TTFT.Mean/p.TTFT-1) > 0.15 {
			t.Errorf("%v clients, %+v: ITL %v, TTFT %v; true are %v and %v", p.Clients, *p.Roles, q.ITL.Mean, q.TTFT.Mean, p.ITL, p.TTFT)
		}
		mean, _ := k.Experience.roles(h, &k.Roles)
		if prior, err := h.expect(&k.Experience, mean, mean, p); err != nil || math.Abs(prior.ITL.Mean/p.ITL-1) > 0.05 {
			worse = true
		}
	}
	if !worse {
		t.Error("the prior alone predicts as well, so that this says nothing of the fit")
	}
}

// TestSpeculationIsLearned: how many tokens an iteration accepts is told by points with and without speculation, and used for those with it alone.
func TestSpeculationIsLearned(t *testing.T) {
	k := BuiltIn()
	h, err := k.hardwareOf(Group{"engine": "sglang", "model": "deepseek-ai/DeepSeek-R1", "accelerator": "h200_sxm", "precision": "fp8"})
	if err != nil {
		t.Fatal(err)
	}
	engine, _ := k.Experience.roles(h, &k.Roles)
	engine[accepted] = math.Log(2.2 / acceptedScale)
	both := &Points{Rows: slices.Concat(rolesBenchmark(t, h, k, engine, "none").Rows, rolesBenchmark(t, h, k, engine, "mtp").Rows, rolesBenchmark(t, h, k, engine, "unknown").Rows)}
	fits, err := k.FitRoles(both, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := acceptedScale * math.Exp(fits[0].at[accepted]); math.Abs(got/2.2-1) > 0.03 {
		t.Errorf("%v tokens an iteration, want 2.2", got)
	}
	if third := len(both.Rows) / 3; fits[0].Unsaid != third || fits[0].Points != 2*third {
		t.Errorf("%d points used, %d left out, of %d", fits[0].Points, fits[0].Unsaid, len(both.Rows))
	}
}

// TestReplicasTellOfRoles: without a row with roles, what a replica of the pair showed that does both moves what is expected of its roles.
func TestReplicasTellOfRoles(t *testing.T) {
	k := BuiltIn()
	points := rolesTable(t, "sglang,deepseek-ai/DeepSeek-R1,h200_sxm,fp8,1,8,1,8,1,8,1,8,1024,1024,16,none,100,10")
	s := k.measuredSetting(Group{"engine": "sglang", "model": "deepseek-ai/DeepSeek-R1", "accelerator": "h200_sxm", "precision": "fp8", "tensor_parallel": "8"})
	mean, _ := k.Experience.prior(s.kind, 0)
	itl := func(slower float64) float64 {
		replica := mean
		for _, j := range []int{overhead, weights, compute, kv, sequence} {
			replica[j] += math.Log(slower)
		}
		f := &Fit{Group: Group{"engine": "sglang", "model": "deepseek-ai/DeepSeek-R1", "accelerator": "h200_sxm", "precision": "fp8", "tensor_parallel": "8"}, Law: s.law(replica)}
		predictor, err := NewPredictor(queueing.ContinuousBatching{}, k, jsonspec.ModelData{Spec: []jsonspec.PerformanceEntry{f.Performance()}})
		if err != nil {
			t.Fatal(err)
		}
		q, err := predictor.Predict(points.Rows[0])
		if err != nil {
			t.Fatal(err)
		}
		return q.ITL.Mean
	}
	if got := itl(2) / itl(1); math.Abs(math.Log2(got)-replicasShare) > 0.01 {
		t.Errorf("a replica that takes twice as long makes decodes take %v times as long", got)
	}
}

// TestRolesEntriesThatAreWrong are refused, all faults at once.
func TestRolesEntriesThatAreWrong(t *testing.T) {
	_, err := NewPredictor(queueing.ContinuousBatching{}, BuiltIn(), jsonspec.ModelData{Roles: []jsonspec.RolesEntry{{
		Match: map[string]string{"model": "m"}, Multipliers: map[string]float64{"speed": 1}, Points: []jsonspec.RolesPoint{{At: []float64{1}}},
	}}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"roles[0] (model=m)", "version: 0", "card: memory 0", "architecture:", "multipliers: overhead", "multipliers: speed: is unknown", "points[0]: at: 1 coordinates"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%v", want, err)
		}
	}
}

// TestMeasuredRoles: every other point of servers that were measured, predicted from the others. The bounds are what was measured, rounded up.
func TestMeasuredRoles(t *testing.T) {
	points := pointsOf(t, "measured/disagg.csv")
	k := BuiltIn()
	var itl, ttft []float64
	for _, g := range points.Groups(func(p Point) bool { return !p.Roles.Speculative && !p.Roles.Unsaid }) {
		if len(g) < 8 {
			continue
		}
		train := &Points{}
		for i := 0; i < len(g); i += 2 {
			train.Rows = append(train.Rows, g[i])
		}
		fits, err := k.FitRoles(train, nil, Options{})
		if err != nil {
			t.Fatal(err)
		}
		predictor, err := NewPredictor(queueing.ContinuousBatching{}, k, jsonspec.ModelData{Roles: []jsonspec.RolesEntry{fits[0].Entry()}})
		if err != nil {
			t.Fatal(err)
		}
		var a, b float64
		for i := 1; i < len(g); i += 2 {
			q, err := predictor.Predict(g[i])
			if err != nil {
				t.Fatal(err)
			}
			a, b = a+math.Abs(q.ITL.Mean/g[i].ITL-1), b+math.Abs(q.TTFT.Mean/g[i].TTFT-1)
		}
		n := float64(len(g) / 2)
		itl, ttft = append(itl, math.Min(1, a/n)), append(ttft, math.Min(1, b/n))
	}
	mean := func(x []float64) float64 {
		sum := 0.0
		for _, v := range x {
			sum += v / float64(len(x))
		}
		return sum
	}
	slices.Sort(itl)
	slices.Sort(ttft)
	t.Logf("%d groups: ITL %.1f / %.1f %%, TTFT %.1f / %.1f %%", len(itl), 100*mean(itl), 100*itl[len(itl)/2], 100*mean(ttft), 100*ttft[len(ttft)/2])
	if len(itl) != 16 || mean(itl) > 0.07 || itl[8] > 0.065 || mean(ttft) > 0.36 {
		t.Errorf("more than 7 and 6.5 %% of ITL, or 36 %% of TTFT")
	}
}

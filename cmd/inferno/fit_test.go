package main

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const fitPoints = `engine,model,accelerator,precision,tensor_parallel,input_tokens,output_tokens,concurrency,request_rate,ttft_ms,itl_ms
vllm,Qwen/Qwen3-32B,h100_sxm,unspecified,2,1024,128,8,,154,18.04
vllm,Qwen/Qwen3-32B,h100_sxm,unspecified,2,1024,128,32,,250,29.38
vllm,Qwen/Qwen3-32B,h100_sxm,unspecified,2,1024,1024,16,,187,17.38
vllm,Qwen/Qwen3-32B,h100_sxm,unspecified,2,4096,512,32,,1039,35.75
vllm,Qwen/Qwen3-32B,h100_sxm,unspecified,2,1024,128,,99,1,1
`

// questions are the points without measurements, and one of open arrivals.
const questions = `engine,model,accelerator,precision,tensor_parallel,input_tokens,output_tokens,concurrency,request_rate,note
vllm,Qwen/Qwen3-32B,h100_sxm,unspecified,2,1024,128,8,,first
vllm,Qwen/Qwen3-32B,h100_sxm,unspecified,2,1024,1024,16,,second
vllm,Qwen/Qwen3-32B,h100_sxm,unspecified,2,1024,512,,1.5,open
`

func TestFitAndPredict(t *testing.T) {
	out := filepath.Join(t.TempDir(), "fitted.json")
	table, err := runAlone(t, newFitCommand(), "--data", file(t, "points.csv", fitPoints), "--out", out)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table, "tensor_parallel=2") || !strings.Contains(table, "overhead=") {
		t.Errorf("the table lacks group or parameters:\n%s", table)
	}
	text, err := runAlone(t, newPredictCommand(), "--fit", out, "--data", file(t, "questions.csv", questions))
	if err != nil {
		t.Fatal(err)
	}
	rows := parse(t, text)
	for i, want := range []struct{ note, itl string }{{"first", "18.04"}, {"second", "17.38"}} {
		got, _ := strconv.ParseFloat(rows[i]["predicted_itl_ms"], 64)
		w, _ := strconv.ParseFloat(want.itl, 64)
		if rows[i]["note"] != want.note || math.Abs(got/w-1) > 0.05 {
			t.Errorf("row %d: %v, want an ITL near %s", i, rows[i], want.itl)
		}
		if rows[i]["predicted_ttft_p90_ms"] != "" {
			t.Errorf("row %d: percentiles of a closed loop are not known, but %s is given", i, rows[i]["predicted_ttft_p90_ms"])
		}
	}
	for _, column := range []string{"predicted_ttft_ms", "predicted_ttft_p90_ms", "predicted_ttft_p99_ms", "predicted_itl_p90_ms", "predicted_itl_p99_ms"} {
		if v, err := strconv.ParseFloat(rows[2][column], 64); err != nil || !(v > 0) {
			t.Errorf("open arrivals: %s is %q", column, rows[2][column])
		}
	}
}

// Rows of open arrivals are used where that is asked for, beside others and alone.
func TestFitOpenLoop(t *testing.T) {
	const closed, open = `vllm,Qwen/Qwen3-32B,h100_sxm,unspecified,2,1024,128,8,,154,18.04
`, `vllm,Qwen/Qwen3-32B,h100_sxm,unspecified,2,1024,128,,2,140,16.5
vllm,Qwen/Qwen3-32B,h100_sxm,unspecified,2,1024,512,,1,130,17.1
`
	header := strings.SplitAfter(fitPoints, "\n")[0]
	for name, c := range map[string]struct {
		points, count string
	}{"both": {closed + open, "3"}, "open only": {open, "2"}} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "fitted.json")
			table, err := runAlone(t, newFitCommand(), "--open-loop", "--data", file(t, "points.csv", header+c.points), "--out", out)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Fields(strings.Split(table, "\n")[1]); !slices.Contains(got, c.count) {
				t.Errorf("not %s points were used:\n%s", c.count, table)
			}
			text, err := runAlone(t, newPredictCommand(), "--fit", out, "--data", file(t, "questions.csv", questions))
			if err != nil {
				t.Fatal(err)
			}
			for i, row := range parse(t, text) {
				if itl, err := strconv.ParseFloat(row["predicted_itl_ms"], 64); err != nil || !(itl > 10 && itl < 30) {
					t.Errorf("row %d: ITL %q", i, row["predicted_itl_ms"])
				}
			}
		})
	}
}

func TestPredictFromPriorWithOwnFiles(t *testing.T) {
	models := file(t, "models.json", `{"acme/giant": {"num_hidden_layers": 60, "hidden_size": 8192, "num_attention_heads": 64, "num_key_value_heads": 8, "intermediate_size": 28672, "vocab_size": 128000}}`)
	accelerators := file(t, "accelerators.csv", "accelerator,memory_bytes,memory_bandwidth_bytes_per_s,bf16_flops_per_s\nx1,2e11,1e13,2e15\n")
	data := file(t, "q.csv", "model,accelerator,input_tokens,output_tokens,concurrency\nacme/giant,x1,1000,100,4\n")
	out, err := runAlone(t, newPredictCommand(), "--prior", "--models", models, "--accelerators", accelerators, "--data", data)
	if err != nil {
		t.Fatal(err)
	}
	itl, err := strconv.ParseFloat(parse(t, out)[0]["predicted_itl_ms"], 64)
	// 60 layers of 13.4 thousand squared parameters or so, twice the bytes, at 10 TB/s: at least 10 ms of reading.
	if err != nil || itl < 8 || itl > 40 {
		t.Errorf("ITL of %v ms", itl)
	}
}

func TestFitAndPredictRefuse(t *testing.T) {
	points := file(t, "points.csv", fitPoints)
	for name, c := range map[string]struct {
		args []string
		fit  bool
		want string
	}{
		"no data":              {nil, true, "--data"},
		"no such file":         {[]string{"--data", "nowhere.csv", "--out", "x"}, true, "nowhere.csv"},
		"unknown law":          {[]string{"--data", points, "--out", filepath.Join(t.TempDir(), "x"), "--law", "ohm"}, true, `"ohm"`},
		"prior and fit":        {[]string{"--data", points, "--prior", "--fit", points}, false, "one of --fit and --prior"},
		"fit is no model data": {[]string{"--data", points, "--fit", file(t, "f.json", `{"modelz": []}`)}, false, "modelz"},
		"unknown queue model":  {[]string{"--data", points, "--prior", "--queue-model", "psychic"}, false, "psychic"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := newPredictCommand()
			if c.fit {
				cmd = newFitCommand()
			}
			_, err := runAlone(t, cmd, c.args...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v does not say %q", err, c.want)
			}
		})
	}
}

func TestPlotFit(t *testing.T) {
	out := filepath.Join(t.TempDir(), "fit.svg")
	if _, err := runAlone(t, newPlotCommand(), "fit", "--data", file(t, "points.csv", fitPoints), "--out", out); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if err != nil || !strings.Contains(string(text), "<svg") {
		t.Errorf("no picture: %v", err)
	}
}

const rolesPoints = `engine,model,accelerator,precision,prefill_workers,prefill_tensor_parallel,prefill_attention_dp,prefill_expert_parallel,decode_workers,decode_tensor_parallel,decode_attention_dp,decode_expert_parallel,input_tokens,output_tokens,concurrency,request_rate,speculative,ttft_ms,itl_ms
trtllm,deepseek-ai/DeepSeek-R1,b200_sxm,fp8,1,1,8,8,1,1,8,8,8192,1024,128,,none,1947.784,30.6371
trtllm,deepseek-ai/DeepSeek-R1,b200_sxm,fp8,1,1,8,8,1,1,8,8,8192,1024,256,,none,3634.55,33.6462
trtllm,deepseek-ai/DeepSeek-R1,b200_sxm,fp8,1,1,8,8,4,8,1,8,8192,1024,32,,none,1460.855,10.2836
trtllm,deepseek-ai/DeepSeek-R1,b200_sxm,fp8,1,1,8,8,4,8,1,8,8192,1024,128,,none,3069.659,16.2048
`

// TestFitAndPredictRoles: rows with roles are fitted and answered, open arrivals with percentiles, and what is wrong with them is named.
func TestFitAndPredictRoles(t *testing.T) {
	out := filepath.Join(t.TempDir(), "fitted.json")
	table, err := runAlone(t, newFitCommand(), "--data", file(t, "points.csv", rolesPoints), "--out", out)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(strings.Fields(table), " "), "(roles") || !strings.Contains(table, "accepted=") {
		t.Errorf("the table lacks the pair or its multipliers:\n%s", table)
	}
	header, _, _ := strings.Cut(rolesPoints, ",speculative")
	ask := header + `
trtllm,deepseek-ai/DeepSeek-R1,b200_sxm,fp8,1,1,8,8,2,1,8,8,8192,1024,128,
trtllm,deepseek-ai/DeepSeek-R1,b200_sxm,fp8,2,1,8,8,2,1,8,8,8192,1024,,2
`
	for _, how := range [][]string{{"--fit", out}, {"--prior"}} {
		text, err := runAlone(t, newPredictCommand(), append(how, "--data", file(t, "questions.csv", ask))...)
		if err != nil {
			t.Fatal(err)
		}
		rows := parse(t, text)
		measured, _ := strconv.ParseFloat(rows[0]["predicted_itl_ms"], 64)
		if math.Abs(measured/25.3-1) > 0.25 { // measured twice: 26.1 and 24.5
			t.Errorf("%v: ITL %v, measured are 25.3", how, measured)
		}
		for _, column := range []string{"predicted_ttft_ms", "predicted_ttft_p90_ms", "predicted_itl_ms", "predicted_itl_p99_ms", "predicted_request_itl_p99_ms"} {
			if v, err := strconv.ParseFloat(rows[1][column], 64); err != nil || !(v > 0) {
				t.Errorf("%v: open arrivals: %s is %q", how, column, rows[1][column])
			}
		}
	}
	bad := header + "\ntrtllm,deepseek-ai/DeepSeek-R1,b200_sxm,fp8,1,3,1,1,2,1,8,8,8192,1024,128,\n"
	if _, err := runAlone(t, newPredictCommand(), "--prior", "--data", file(t, "bad.csv", bad)); err == nil || !strings.Contains(err.Error(), "line 2: prefill_tensor_parallel: 3 does not divide the 128 attention heads") {
		t.Errorf("prompts on 3 cards: %v", err)
	}
}

package workload

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

func template(t *testing.T, name string) *corev1.PodTemplateSpec {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var pod corev1.PodTemplateSpec
	if err := yaml.UnmarshalStrict(text, &pod); err != nil {
		t.Fatal(err)
	}
	return &pod
}

// told of a fact: its value, the container and argument that it was read of, or a star and why it is assumed.
func told[T any](f Fact[T]) any {
	if !f.Known() {
		return nil
	}
	from := f.From
	if f.Assumed {
		from = "*" + from
	}
	return []any{f.Value, from}
}

func facts(w *Workload) map[string]any {
	all := map[string]any{
		"engine": told(w.Engine), "model": told(w.Model), "served": told(w.ServedNames), "tp": told(w.Tensor), "pp": told(w.Pipeline), "dp": told(w.Data),
		"ep": told(w.Expert), "dtype": told(w.DType), "quantization": told(w.Quantization), "precision": told(w.Precision), "len": told(w.MaxModelLen),
		"seqs": told(w.MaxNumSeqs), "tokens": told(w.MaxNumBatchedTokens), "cards": told(w.Cards), "resource": told(w.Resource), "port": told(w.Port),
	}
	for name, value := range all {
		if value == nil {
			delete(all, name)
		}
	}
	return all
}

func fact(value any, from string) []any { return []any{value, from} }

// Each manifest is of the documentation of the stack that it is named after. What is wanted is what that stack would start.
func TestRead(t *testing.T) {
	const vllm, assumed = `container "vllm", `, "*default of vLLM"
	tests := []struct {
		name   string
		want   map[string]any
		unread []string
		doubts []string
		model  string
	}{
		{"vllm-shell", map[string]any{
			"engine": fact("vLLM", `container "mistral-7b", its command`), "model": fact("mistralai/Mistral-7B-Instruct-v0.3", `container "mistral-7b", its first argument`),
			"served": fact([]string{"mistral", "mistral", "7b"}, `container "mistral-7b", --served-model-name`),
			"tp":     fact(2, `container "mistral-7b", -tp`), "pp": fact(1, assumed), "dp": fact(1, assumed), "ep": fact(1, assumed), "dtype": fact("auto", assumed),
			"quantization": fact("fp8", `container "mistral-7b", --quantization`), "precision": fact("fp8", `container "mistral-7b", --quantization`),
			"tokens": fact(1024, `container "mistral-7b", --max_num_batched_tokens`), "port": fact(8000, assumed),
			"cards": fact(2, `container "mistral-7b", limits of resources`), "resource": fact("nvidia.com/gpu", `container "mistral-7b", limits of resources`),
		}, nil, nil, "mistralai/Mistral-7B-Instruct-v0.3"},
		{"vllm-annotations", map[string]any{
			"engine": fact("vLLM", vllm+"image vllm/vllm-openai:v0.10.2"), "model": fact("meta-llama/Llama-3.1-8B-Instruct", vllm+"--model"),
			"tp": fact(1, assumed), "pp": fact(1, assumed), "dp": fact(1, assumed), "ep": fact(1, assumed), "dtype": fact("bfloat16", vllm+"--dtype"),
			"precision": fact("bf16", vllm+"--dtype"), "len": fact(32000, vllm+"--max-model-len"), "seqs": fact(128, vllm+"--max-num-seqs"), "port": fact(8000, assumed),
			"cards": fact(1, vllm+"limits of resources"), "resource": fact("nvidia.com/gpu", vllm+"limits of resources"),
		}, []string{
			`port: container "vllm", --port: variable PORT: key "http" of ConfigMap "ports" is not in the template`,
			`most tokens of an iteration: container "vllm", --max-num-batched-tokens: variable LATER: metadata.annotations['inferno.platform.ai/max-num-batched-tokens'] is known of the pod alone`,
		}, nil, "meta-llama/Llama-3.1-8B-Instruct"},
		{"production-stack", map[string]any{
			"engine": fact("vLLM", vllm+"its command"), "model": fact("Qwen/Qwen2.5-32B-Instruct-AWQ", vllm+"its first argument"),
			"tp": fact(4, vllm+"--tensor-parallel-size"), "pp": fact(1, assumed), "dp": fact(1, assumed), "ep": fact(1, assumed), "dtype": fact("half", vllm+"--dtype"),
			"precision": fact("int4", "the name of the model"), "len": fact(16384, vllm+"--max-model-len"), "seqs": fact(64, vllm+"--max-num-seqs"),
			"port": fact(8000, vllm+"--port"), "cards": fact(2, vllm+"limits of resources"), "resource": fact("nvidia.com/gpu", vllm+"limits of resources"),
		}, nil, []string{"2 cards are requested, and parallelism takes 4 (tensor 4, pipeline 1, data 1)"}, "Qwen/Qwen2.5-32B-Instruct-AWQ"},
		{"sglang", map[string]any{
			"engine": fact("SGLang", `container "sglang", its command`), "model": fact("deepseek-ai/DeepSeek-R1", `container "sglang", --model-path`),
			"tp": fact(8, `container "sglang", --tp`), "pp": fact(1, "*default of SGLang"), "dp": fact(1, `container "sglang", --dp-size, within tensor parallelism`),
			"ep": fact(8, `container "sglang", --ep-size`), "dtype": fact("auto", "*default of SGLang"), "precision": fact("bf16", "*what most models are published in"),
			"len": fact(131072, `container "sglang", --context-length`), "seqs": fact(512, `container "sglang", --max-running-requests`),
			"tokens": fact(4096, `container "sglang", --chunked-prefill-size`), "port": fact(30000, "*default of SGLang"),
			"cards": fact(8, `container "sglang", limits of resources`), "resource": fact("nvidia.com/gpu", `container "sglang", limits of resources`),
		}, nil, nil, "deepseek-ai/DeepSeek-R1"},
		{"tgi", map[string]any{
			"engine": fact("TGI", `container "server", image ghcr.io/huggingface/text-generation-inference:3.3.5`), "model": fact("google/gemma-2-27b-it", `container "server", variable MODEL_ID`),
			"tp": fact(4, "*default of TGI"), "pp": fact(1, "*default of TGI"), "dp": fact(1, "*default of TGI"), "ep": fact(1, "*default of TGI"), "dtype": fact("auto", "*default of TGI"),
			"quantization": fact("bitsandbytes", `container "server", variable QUANTIZE`), "precision": fact("int4", `container "server", variable QUANTIZE`),
			"len": fact(8192, `container "server", --max-total-tokens`), "port": fact(80, "*default of TGI"),
			"cards": fact(4, `container "server", limits of resources`), "resource": fact("amd.com/gpu", `container "server", limits of resources`),
		}, []string{`most tokens of an iteration: container "server", variable MAX_BATCH_PREFILL_TOKENS: "many" is no whole number that is allowed`}, nil, "google/gemma-2-27b-it"},
		{"kserve-huggingface", map[string]any{
			"engine": fact("vLLM", `container "kserve-container", image kserve/huggingfaceserver:latest-gpu`), "model": fact("meta-llama/meta-llama-3-8b-instruct", `container "kserve-container", --model_id`),
			"served": fact([]string{"llama3"}, `container "kserve-container", --model_name`),
			"tp":     fact(1, assumed), "pp": fact(1, assumed), "dp": fact(1, assumed), "ep": fact(1, assumed), "dtype": fact("auto", assumed),
			"precision": fact("bf16", "*what most models are published in"), "port": fact(8080, `container "kserve-container", its only port`),
			"cards": fact(1, `container "kserve-container", limits of resources`), "resource": fact("nvidia.com/gpu", `container "kserve-container", limits of resources`),
		}, nil, nil, "meta-llama/meta-llama-3-8b-instruct"},
		{"kserve-llm", map[string]any{
			"engine": fact("vLLM", `container "main", its command`), "model": fact("Qwen/Qwen3-32B", `init container "storage-initializer", its arguments`),
			"served": fact([]string{"Qwen/Qwen3-32B"}, `container "main", --served-model-name`),
			"tp":     fact(2, `container "main", --tensor-parallel-size`), "pp": fact(1, assumed), "dp": fact(1, assumed), "ep": fact(2, `container "main", --enable-expert-parallel`),
			"dtype": fact("auto", assumed), "precision": fact("bf16", "*what most models are published in"), "seqs": fact(96, `container "main", --max-num-seqs`),
			"port": fact(8001, `container "main", --port`), "cards": fact(2, `container "main", limits of resources`), "resource": fact("nvidia.com/gpu", `container "main", limits of resources`),
		}, []string{`data parallelism: container "main", --data-parallel-size: the shell computes it`}, nil, "Qwen/Qwen3-32B"},
		{"kserve-runtime", map[string]any{
			"engine": fact("vLLM", `container "kserve-container", its command`), "model": fact("/mnt/models", `container "kserve-container", --model`),
			"served": fact([]string{"granite-3.1-8b"}, `container "kserve-container", --served-model-name`),
			"tp":     fact(1, assumed), "pp": fact(1, assumed), "dp": fact(1, assumed), "ep": fact(1, assumed), "dtype": fact("auto", assumed),
			"precision": fact("bf16", "*what most models are published in"), "port": fact(8080, `container "kserve-container", --port`),
		}, []string{
			`arguments in a file: container "kserve-container", --config: what file /etc/vllm.yaml says is not in the template`,
			`what the model is: container "kserve-container", --model: /mnt/models is a path in the pod`,
			`cards: container "kserve-container": has them by the claim "gpu" of dynamic resource allocation`,
		}, nil, "granite-3.1-8b"},
		{"trtllm", map[string]any{
			"engine": fact("TensorRT-LLM", `container "trtllm", its command`), "model": fact("nvidia/Llama-3.3-70B-Instruct-FP4", `container "trtllm", its first argument`),
			"tp": fact(4, `container "trtllm", --tp_size`), "pp": fact(1, "*default of TensorRT-LLM"), "dp": fact(1, "*default of TensorRT-LLM"),
			"ep": fact(1, "*default of TensorRT-LLM"), "dtype": fact("auto", "*default of TensorRT-LLM"), "precision": fact("int4", "the name of the model"),
			"len": fact(16384, `container "trtllm", --max_seq_len`), "seqs": fact(256, `container "trtllm", --max_batch_size`), "tokens": fact(8192, `container "trtllm", --max_num_tokens`),
			"port": fact(8000, "*default of TensorRT-LLM"), "cards": fact(4, `container "trtllm", limits of resources`), "resource": fact("nvidia.com/gpu", `container "trtllm", limits of resources`),
		}, nil, nil, "nvidia/Llama-3.3-70B-Instruct-FP4"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, err := Read(template(t, tt.name))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, facts(w)); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
			var unread []string
			for _, u := range w.Unread {
				unread = append(unread, u.What+": "+u.Why)
			}
			if diff := cmp.Diff(tt.unread, unread); diff != "" {
				t.Errorf("unread (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.doubts, w.Doubts); diff != "" {
				t.Errorf("doubts (-want +got):\n%s", diff)
			}
			if w.Name() != tt.model {
				t.Errorf("it is called %q, want %q", w.Name(), tt.model)
			}
		})
	}
}

func TestNotServing(t *testing.T) {
	tests := map[string]string{
		"production-stack-router": `container "router-container": is a router of requests`,
		"bench":                   `container "load": is a client of vLLM; container "shell": has an image of vLLM, and runs something else: sleep infinity`,
	}
	for name, want := range tests {
		w, err := Read(template(t, name))
		var not *NotServing
		if !errors.As(err, &not) || w != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want that it says %q", name, err, want)
		}
	}
	for _, none := range []*corev1.PodTemplateSpec{nil, {}} {
		if _, err := Read(none); err == nil {
			t.Error("a template without containers serves something")
		}
	}
}

// Numbers are those that vLLM accepts; nothing else becomes a fact.
func TestCount(t *testing.T) {
	for text, want := range map[string]int{"1": 1, "32k": 32000, "32K": 32768, "2M": 2 << 20, "1.5k": 1500} {
		if got, err := count(text); err != nil || got != want {
			t.Errorf("%q is %d (%v), want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "1.5", "x", "NaN", "Inf", "1e99", "k"} {
		if got, err := count(text); err == nil {
			t.Errorf("%q is %d, want an error", text, got)
		}
	}
}

// Whatever a template says, reading it ends, and facts that are known are within their ranges.
func FuzzRead(f *testing.F) {
	f.Add("vllm/vllm-openai:latest", "vllm serve a/b --max-num-seqs=$(X)", "", "X", "12")
	f.Add("lmsysorg/sglang", "", "exec python3 -m sglang.launch_server --model-path \"$X\" --tp ${Y:-2}", "X", "a b")
	f.Add("x", "", "eval \"eval 'vllm serve m --enable-expert-parallel --tp 2147483647 --dp 2147483647'\"", "", "")
	f.Add("vllm/vllm-openai", "", "eval $X", "X", "eval $X")
	f.Add("ghcr.io/huggingface/text-generation-inference", "--port 99999999", "`ls`; vllm serve <<EOF\nx\nEOF\n", "NUM_SHARD", "-3")
	f.Fuzz(func(t *testing.T, image, args, script, name, value string) {
		c := corev1.Container{Name: "c", Image: image, Args: strings.Split(args, " "), Env: []corev1.EnvVar{{Name: name, Value: value}, {Name: "Z", Value: "$(" + name + ")"}}}
		if script != "" {
			c.Command = []string{"bash", "-ec", script}
		}
		w, err := Read(&corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{c}}})
		if (w == nil) == (err == nil) {
			t.Fatalf("neither a workload nor an error: %v", err)
		}
		if err != nil {
			return
		}
		for what, f := range map[string]Fact[int]{"tp": w.Tensor, "pp": w.Pipeline, "dp": w.Data, "ep": w.Expert, "len": w.MaxModelLen, "seqs": w.MaxNumSeqs, "tokens": w.MaxNumBatchedTokens, "port": w.Port} {
			if f.Known() && f.Value < 1 || !f.Known() && f.Value != 0 {
				t.Fatalf("%s: %+v", what, f)
			}
		}
	})
}

package workload

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// field is a fact that an argument or a variable may give.
type field string

// Fields.
const (
	model        field = "model"
	servedNames  field = "served model name"
	tensor       field = "tensor parallelism"
	pipeline     field = "pipeline parallelism"
	data         field = "data parallelism"
	expert       field = "expert parallelism"
	spreads      field = "whether experts are spread"
	inTensor     field = "whether data parallelism is within tensor parallelism"
	dtype        field = "dtype"
	quantization field = "quantisation"
	modelLen     field = "most tokens of a request"
	seqs         field = "most requests of a batch"
	tokens       field = "most tokens of an iteration"
	port         field = "port"
	file         field = "arguments in a file"
)

// engine is what is known of the command line of an inference engine, from its documentation.
type engine struct {
	name string
	// command finds the words that start it, and returns how many there are up to its arguments; 0 where it is not there.
	commands []*regexp.Regexp
	// image that runs it.
	image *regexp.Regexp
	// arguments without leading dashes, "_" written as "-", and variables that it reads.
	arguments map[string]field
	variables map[string]field
	// flags are arguments of which a model may follow: they have no value.
	flags []string
	// positional says that the first argument is the model.
	positional bool
	// port that it listens on by default, and the default number of cards that tensor parallelism takes: 1, or 0 for all of the pod.
	port, tensor int
}

// engines in the order in which they are tried. Commands are matched against the words joined by blanks.
var engines = []engine{
	{
		// docs.vllm.ai, cli/serve and configuration/engine_args; the model server of KServe for Hugging Face (python/huggingfaceserver of
		// github.com/kserve/kserve) takes the same arguments.
		name:     v1alpha1.EngineVLLM,
		commands: patterns(`(^| )(\S*/)?vllm serve( |$)`, `-m vllm\.entrypoints\.(openai\.)?api_server( |$)`, `vllm/entrypoints/(openai/)?api_server\.py( |$)`, `-m huggingfaceserver( |$)`),
		image:    regexp.MustCompile(`(^|/)(vllm-openai|vllm-tpu|vllm-cpu\S*|vllm|vllm-rocm|vllm-dev|llm-d\S*-(cuda|rocm|xpu|dev)|llm-d|huggingfaceserver)([:@-]|$)`),
		arguments: map[string]field{
			"model": model, "model-id": model, "model-tag": model, "served-model-name": servedNames, "model-name": servedNames,
			"tensor-parallel-size": tensor, "tp": tensor, "pipeline-parallel-size": pipeline, "pp": pipeline,
			"data-parallel-size": data, "dp": data, "enable-expert-parallel": spreads, "ep": spreads,
			"dtype": dtype, "quantization": quantization, "q": quantization, "max-model-len": modelLen,
			"max-num-seqs": seqs, "max-num-batched-tokens": tokens, "port": port, "config": file,
		},
		flags: []string{
			"trust-remote-code", "enable-prefix-caching", "no-enable-prefix-caching", "enable-chunked-prefill", "no-enable-chunked-prefill", "enforce-eager",
			"enable-auto-tool-choice", "disable-log-requests", "disable-log-stats", "enable-lora", "headless", "enable-sleep-mode", "enable-eplb",
		},
		positional: true, port: 8000, tensor: 1,
	},
	{
		// docs.sglang.ai, advanced_features/server_arguments.
		name:     v1alpha1.EngineSGLang,
		commands: patterns(`-m sglang\.launch_server( |$)`, `(^| )(\S*/)?sglang serve( |$)`, `sglang/launch_server\.py( |$)`),
		image:    regexp.MustCompile(`(^|/)sglang([:@-]|$)`),
		arguments: map[string]field{
			"model-path": model, "model": model, "served-model-name": servedNames, "tp": tensor, "tp-size": tensor, "tensor-parallel-size": tensor,
			"pp-size": pipeline, "pp": pipeline, "pipeline-parallel-size": pipeline, "dp": data, "dp-size": data, "data-parallel-size": data,
			"ep": expert, "ep-size": expert, "expert-parallel-size": expert, "enable-dp-attention": inTensor, "dtype": dtype, "quantization": quantization,
			"context-length": modelLen, "max-running-requests": seqs, "chunked-prefill-size": tokens, "port": port, "config": file,
		},
		flags: []string{"trust-remote-code", "enable-metrics", "enable-torch-compile", "disable-radix-cache", "disable-cuda-graph"},
		port:  30000, tensor: 1,
	},
	{
		// huggingface.co/docs/text-generation-inference, reference/launcher; its image sets PORT to 80.
		name:     v1alpha1.EngineTGI,
		commands: patterns(`(^| )(\S*/)?text-generation-launcher( |$)`),
		image:    regexp.MustCompile(`(^|/)text-generation-inference([:@-]|$)`),
		arguments: map[string]field{
			"model-id": model, "num-shard": tensor, "quantize": quantization, "dtype": dtype, "max-total-tokens": modelLen, "max-batch-size": seqs,
			"max-batch-prefill-tokens": tokens, "port": port, "p": port,
		},
		variables: map[string]field{
			"MODEL_ID": model, "NUM_SHARD": tensor, "QUANTIZE": quantization, "DTYPE": dtype, "MAX_TOTAL_TOKENS": modelLen, "MAX_BATCH_SIZE": seqs,
			"MAX_BATCH_PREFILL_TOKENS": tokens, "PORT": port,
		},
		flags: []string{"trust-remote-code", "json-output"},
		port:  80,
	},
	{
		// nvidia.github.io/TensorRT-LLM, commands/trtllm-serve.
		name:     v1alpha1.EngineTensorRTLLM,
		commands: patterns(`(^| )(\S*/)?trtllm-serve( serve)?( |$)`),
		image:    regexp.MustCompile(`(^|/)(tensorrt-llm|tensorrtllm\S*|trtllm)([:@/-]|$)`),
		arguments: map[string]field{
			"tp-size": tensor, "pp-size": pipeline, "ep-size": expert, "max-seq-len": modelLen, "max-batch-size": seqs, "max-num-tokens": tokens,
			"port": port, "extra-llm-api-options": file, "config": file,
		},
		flags:      []string{"trust-remote-code"},
		positional: true, port: 8000, tensor: 1,
	},
}

// others are images and commands of what stands beside engines, with what they are: their arguments look alike.
var others = []struct{ pattern, what string }{
	{`(^|[/ ])vllm (bench|chat|complete|run-batch|collect-env)( |$)`, "a client of vLLM"},
	{`(^|/)(lmstack-router|production-stack-router|vllm-router|sgl-router|sgl-model-gateway)([:@]|$)|sglang_router`, "a router of requests"},
	{`(^|/)llm-d-(routing-sidecar|inference-scheduler|router\S*)([:@]|$)`, "a router of requests"},
	{`(^|/)llm-d-\S*(sim|simulator)([:@]|$)`, "a simulator of an engine"},
	{`(^|/)text-embeddings-inference([:@-]|$)`, "a server of embeddings, which generates no tokens"},
	{`(^|/)tritonserver([:@-]|$)|(^|[/ ])tritonserver( |$)`, "Triton, whose models are in a repository that the template does not show"},
	{`(^|/)nim/`, "a NIM, which chooses engine and parallelism when it starts"},
	{`(^|/)(ollama|localai|llama\.cpp)([:@/-]|$)`, "an engine whose series are not known"},
}

func patterns(list ...string) []*regexp.Regexp {
	all := make([]*regexp.Regexp, len(list))
	for i, p := range list {
		all[i] = regexp.MustCompile(p)
	}
	return all
}

// serving is a container that an engine was recognised in.
type serving struct {
	*container
	engine engine
	// from says what it was recognised by, and certainty how sure that is: 0 by its command, 1 by its image.
	from      string
	certainty int
	words     []word
}

// recognise the engine of a container; without one it says why not.
func recognise(c *container) (*serving, string) {
	for _, words := range c.commands {
		line := joined(words)
		if what := other(line); what != "" {
			return nil, "is " + what
		}
		for _, e := range engines {
			for _, p := range e.commands {
				if at := p.FindStringIndex(line); at != nil {
					return &serving{c, e, fmt.Sprintf("container %q, its command", c.spec.Name), 0, after(words, at[1])}, ""
				}
			}
		}
	}
	image := c.spec.Image
	if what := other(image); what != "" {
		return nil, "is " + what
	}
	for _, e := range engines {
		if !e.image.MatchString(image) {
			continue
		}
		var words []word
		if c.fromImage && len(c.commands) == 1 {
			words = c.commands[0]
		} else if !c.fromImage {
			if len(c.commands) > 0 && !strings.HasSuffix(c.commands[0][0].text, ".sh") && len(c.unreadable) == 0 {
				return nil, fmt.Sprintf("has an image of %s, and runs something else: %s", e.name, shortened(joined(c.commands[len(c.commands)-1])))
			}
			for _, command := range c.commands {
				words = append(words, command...)
			}
		}
		return &serving{c, e, fmt.Sprintf("container %q, image %s", c.spec.Name, image), 1, words}, ""
	}
	return nil, fmt.Sprintf("image %s and its command are of no engine that is known", image)
}

// shortened for people.
func shortened(s string) string {
	const most = 80
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

func other(text string) string {
	for _, o := range others {
		if regexp.MustCompile(o.pattern).MatchString(text) {
			return o.what
		}
	}
	return ""
}

// joined words, with blanks between them; blanks within a word do not part it.
func joined(words []word) string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = inOne.Replace(w.text)
	}
	return strings.Join(texts, " ")
}

// inOne keeps blanks within a word from parting it.
var inOne = strings.NewReplacer(" ", "\x00", "\n", "\x00", "\t", "\x00")

// after are the words that begin at or behind a position of the line that they make.
func after(words []word, position int) []word {
	at := 0
	for i, w := range words {
		if at >= position {
			return words[i:]
		}
		at += len(inOne.Replace(w.text)) + 1
	}
	return nil
}

// argument as given to an engine.
type argument struct {
	field  field
	name   string
	values []word
}

// arguments of the engine that are of interest, in their order. An unknown one is taken to have a value if what follows does not begin with a dash.
func (s *serving) arguments() []argument {
	var found []argument
	positional := s.engine.positional
	for i := 0; i < len(s.words); i++ {
		w := s.words[i]
		if !strings.HasPrefix(w.text, "-") || w.text == "-" {
			if positional && (w.text != "" || w.missing != "") {
				found = append(found, argument{model, "its first argument", []word{w}})
				positional = false
			}
			continue
		}
		name, value, has := strings.Cut(w.text, "=")
		key := strings.ReplaceAll(strings.TrimLeft(name, "-"), "_", "-")
		a := argument{s.engine.arguments[key], name, nil}
		if has {
			a.values = []word{{value, w.missing}}
		} else if !slices.Contains(s.engine.flags, key) && a.field != spreads && a.field != inTensor {
			for i+1 < len(s.words) && !strings.HasPrefix(s.words[i+1].text, "-") {
				i++
				a.values = append(a.values, s.words[i])
				if a.field != servedNames {
					break
				}
			}
		}
		if a.field != "" {
			found = append(found, a)
		}
	}
	return found
}

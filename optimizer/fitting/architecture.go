package fitting

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// Architectures of models by name.
type Architectures map[string]jsonspec.Architecture

// BuiltInArchitectures is the catalogue that comes with the program.
func BuiltInArchitectures() Architectures {
	f, err := catalogue.Open("catalogue/models.json")
	if err != nil {
		panic(err) // embedded
	}
	defer func() { _ = f.Close() }()
	all, err := ReadArchitectures(f)
	if err != nil {
		panic(err) // embedded and tested
	}
	return all
}

// ReadArchitectures reads a JSON object from model name to the fields of its config.json. Unknown fields are ignored, as config.json has
// many. The error joins every fault.
func ReadArchitectures(r io.Reader) (Architectures, error) {
	var all Architectures
	if err := json.NewDecoder(r).Decode(&all); err != nil {
		return nil, err
	}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if a := all[name]; a.NumHiddenLayers < 1 || a.HiddenSize < 1 || a.NumAttentionHeads < 1 {
			faults = append(faults, fmt.Errorf("model %q: num_hidden_layers %d, hidden_size %d and num_attention_heads %d must be at least 1",
				name, a.NumHiddenLayers, a.HiddenSize, a.NumAttentionHeads))
		}
	}
	return all, errors.Join(faults...)
}

// With returns the list with others added, which win.
func (a Architectures) With(others Architectures) Architectures {
	all := maps.Clone(a)
	maps.Copy(all, others)
	return all
}

// quantised are what publishers append to the name of a model whose weights they quantised.
var quantised = regexp.MustCompile(`(nvfp4|fp4|fp8|awq|gptq|int4|int8|w4a16|w8a8)(dynamic)?$`)

// parameters of a model in billions, as its name says: the "8b" of llama-3.1-8b.
var parameters = regexp.MustCompile(`(?i)(?:^|[-_/. ])(\d+(?:\.\d+)?)b(?:$|[-_. ])`)

// Find returns the architecture of a model, whatever the case and publisher of its name and the quantisation of its weights. Where it is
// not known but the name says a number of parameters, it is a dense model of that size, and guess is true; a name that says nothing is
// taken for 8 billion.
func (a Architectures) Find(name string) (arch jsonspec.Architecture, guess bool) {
	names := slices.Sorted(maps.Keys(a))
	for _, same := range []func(string) string{func(s string) string { return s }, plain, bare} {
		for _, n := range names {
			if same(n) == same(name) {
				return a[n], false
			}
		}
	}
	billions := 8.0
	if m := parameters.FindStringSubmatch(name); m != nil {
		if v, err := strconv.ParseFloat(m[1], 64); err == nil && v > 0 && v < 1e5 {
			billions = v
		}
	}
	return dense(billions), true
}

// bare is a plain name without publisher and quantisation.
func bare(name string) string {
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '/' {
			name = name[i+1:]
			break
		}
	}
	return quantised.ReplaceAllString(plain(name), "")
}

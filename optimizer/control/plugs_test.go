package control_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	apiextensionsinternal "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/forecast"
	"github.com/llm-inferno/inferno/optimizer/plug"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/specification"
	"github.com/llm-inferno/inferno/optimizer/stability"
)

// The schema of the Optimizer has every implementation and every option that is registered, and no other; it says their defaults, and refuses what they refuse.
func TestTheSchemaHasEveryPlug(t *testing.T) {
	s := optimizerSchema(t)
	agree(t, s, "queueModel", queueing.Models())
	agree(t, s, "estimator", estimation.Estimators())
	agree(t, s, "forecaster", forecast.Forecasters())
	agree(t, s, "solver", solver.Solvers())
	agree(t, s, "stability", stability.Stabilisers())
}

func agree[T any](t *testing.T, s *definition, stage string, r plug.Registry[T]) {
	t.Helper()
	members := s.spec.Properties[stage].Properties
	var names []string
	for member := range members {
		names = append(names, specification.PlugName(member))
	}
	slices.Sort(names)
	if !slices.Equal(names, r.Names()) {
		t.Errorf("spec.%s has %v, registered are %v", stage, names, r.Names())
		return
	}
	for member, properties := range members {
		name := specification.PlugName(member)
		text, err := json.Marshal(r.Options(name))
		if err != nil {
			t.Fatal(err)
		}
		defaults := map[string]float64{}
		if err := json.Unmarshal(text, &defaults); err != nil {
			t.Fatal(err)
		}
		fields := map[string]string{}
		for f := range properties.Properties {
			fields[specification.OptionName(f)] = f
		}
		if want, got := slices.Sorted(maps.Keys(defaults)), slices.Sorted(maps.Keys(fields)); !slices.Equal(got, want) {
			t.Errorf("spec.%s.%s has the options %v, registered are %v", stage, member, got, want)
			continue
		}
		for option, value := range defaults {
			in := func(x float64) any { return s.option(t, stage, name, option, x)[fields[option]] }
			said := fmt.Sprintf("Defaults to %v.", in(value))
			for _, round := range []string{"m0s.", "h0m."} { // 10m0s is said as 10m
				said = strings.ReplaceAll(said, round, round[:1]+".")
			}
			if d := properties.Properties[fields[option]].Description; !strings.HasSuffix(strings.ReplaceAll(d, "\n", " "), said) {
				t.Errorf("spec.%s.%s.%s does not end with %q: %s", stage, member, fields[option], said, d)
			}
			for _, x := range []float64{-1, 0, 1e-5, 0.001, 0.4, 0.5, 1, 1.5, 2, 7, 9, 10, 50, 90, 100, 101, 256, 257, 900, 1000, 1001, 3600, 3601, 86400, 86401, 1e6, 1e6 + 1} {
				whole := properties.Properties[fields[option]].Type == "integer"
				if whole && x != math.Trunc(x) {
					continue
				}
				_, err := r.New(name, optionJSON(option, x))
				if err != nil && strings.Contains(err.Error(), "built without lp_solve") {
					continue
				}
				if faults := s.faults(t, stage, name, option, x); (err == nil) != (len(faults) == 0) {
					t.Errorf("spec.%s.%s.%s: %v: the schema says %v, the implementation %v", stage, member, fields[option], x, faults, err)
				}
			}
		}
	}
}

// definition is that of the Optimizer resource.
type definition struct {
	spec   apiextensions.JSONSchemaProps
	schema validation.SchemaValidator
	rules  *cel.Validator
	whole  *schema.Structural
}

func optimizerSchema(t *testing.T) *definition {
	t.Helper()
	text, err := os.ReadFile("../../manifests/chart/files/crds/inferno.platform.ai_optimizers.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var crd apiextensions.CustomResourceDefinition
	if err := yaml.Unmarshal(text, &crd); err != nil {
		t.Fatal(err)
	}
	root := crd.Spec.Versions[0].Schema.OpenAPIV3Schema
	var internal apiextensionsinternal.JSONSchemaProps
	if err := apiextensions.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(root, &internal, nil); err != nil {
		t.Fatal(err)
	}
	d := &definition{spec: root.Properties["spec"]}
	if d.whole, err = schema.NewStructural(&internal); err != nil {
		t.Fatal(err)
	}
	if d.schema, _, err = validation.NewSchemaValidator(&internal); err != nil {
		t.Fatal(err)
	}
	d.rules = cel.NewValidator(d.whole, true, celconfig.PerCallLimit)
	return d
}

// optimizer is the resource that chooses an implementation with one option.
func (d *definition) optimizer(t *testing.T, stage, name, option string, x float64) map[string]any {
	t.Helper()
	system := new(jsonspec.System)
	choice := &jsonspec.Plug{Name: name, Options: &runtime.RawExtension{Raw: optionJSON(option, x)}}
	for i := range reflect.TypeFor[jsonspec.Plugs]().NumField() {
		if tag := reflect.TypeFor[jsonspec.Plugs]().Field(i).Tag.Get("json"); strings.HasPrefix(tag, stage+",") {
			reflect.ValueOf(&system.Optimizer.Spec.Plugs).Elem().Field(i).Set(reflect.ValueOf(choice))
		}
	}
	r, err := specification.ToResources(system, "")
	if err != nil {
		t.Fatal(err)
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(r.Optimizer)
	if err != nil {
		t.Fatal(err)
	}
	return object
}

func optionJSON(option string, x float64) []byte {
	return fmt.Appendf(nil, `{%q: %s}`, option, strconv.FormatFloat(x, 'f', -1, 64))
}

// option is what the resource says of the implementation.
func (d *definition) option(t *testing.T, stage, name, option string, x float64) map[string]any {
	t.Helper()
	choice, _ := d.optimizer(t, stage, name, option, x)["spec"].(map[string]any)[stage].(map[string]any)
	for _, member := range choice {
		m, _ := member.(map[string]any)
		return m
	}
	t.Fatalf("spec.%s chooses nothing", stage)
	return nil
}

// faults that the schema finds.
func (d *definition) faults(t *testing.T, stage, name, option string, x float64) []error {
	t.Helper()
	object := d.optimizer(t, stage, name, option, x)
	var out []error
	for _, f := range validation.ValidateCustomResource(nil, object, d.schema) {
		out = append(out, f)
	}
	broken, _ := d.rules.Validate(context.Background(), field.NewPath(""), d.whole, object, nil, celconfig.RuntimeCELCostBudget)
	for _, f := range broken {
		out = append(out, f)
	}
	return out
}

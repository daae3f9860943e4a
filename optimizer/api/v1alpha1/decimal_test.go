package v1alpha1_test

import (
	"encoding/json"
	"math"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// A number is read as written, and written again as the same number.
func TestDecimal(t *testing.T) {
	for text, want := range map[string]float64{`40`: 40, `"40"`: 40, `"0.95"`: 0.95, `-3`: -3, `"4.89e-5"`: 4.89e-5, `"1E+3"`: 1000, `0`: 0} {
		var d v1alpha1.Decimal
		if err := json.Unmarshal([]byte(text), &d); err != nil || d.Float() != want {
			t.Errorf("%s: %v, %v, want %v", text, d.Float(), err, want)
		}
	}
	for _, text := range []string{`0.5`, `true`, `{}`, `[1]`, `1e400`} {
		var d v1alpha1.Decimal
		if err := json.Unmarshal([]byte(text), &d); err == nil {
			t.Errorf("%s is taken for %q", text, d)
		}
	}
	for _, text := range []string{`""`, `"many"`, `"1 2"`} {
		var d v1alpha1.Decimal
		if err := json.Unmarshal([]byte(text), &d); err != nil || !math.IsNaN(d.Float()) {
			t.Errorf("%s is taken for %v, %v", text, d.Float(), err)
		}
	}
}

// Server-side apply goes through unstructured values, which keep whole numbers as such.
func TestDecimalUnstructured(t *testing.T) {
	a := &v1alpha1.Accelerator{Spec: v1alpha1.AcceleratorSpec{CostPerHour: v1alpha1.DecimalOf(400), InterruptionsPerHour: new(v1alpha1.DecimalOf(0.1))}}
	u, err := runtime.DefaultUnstructuredConverter.ToUnstructured(a)
	if err != nil {
		t.Fatal(err)
	}
	var back v1alpha1.Accelerator
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u, &back); err != nil {
		t.Fatal(err)
	}
	if back.Spec.CostPerHour.Float() != 400 || back.Spec.InterruptionsPerHour.Float() != 0.1 {
		t.Errorf("%v comes back as %+v", u["spec"], back.Spec)
	}
}

func FuzzDecimal(f *testing.F) {
	for _, x := range []float64{0, 1, -1, 0.1, 1e300, 4.89e-5, 1 << 62} {
		f.Add(x)
	}
	f.Fuzz(func(t *testing.T, x float64) {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return
		}
		data, err := json.Marshal(v1alpha1.DecimalOf(x))
		var d v1alpha1.Decimal
		if err == nil {
			err = json.Unmarshal(data, &d)
		}
		if err != nil || d.Float() != x {
			t.Errorf("%v is written %s and read %v: %v", x, data, d.Float(), err)
		}
	})
}

package v1alpha1

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// Decimal is a number, such as 400, "0.95" or "4.89e-5": an integer, or a string. Resources have no floats, which are not read back everywhere as they were
// written.
// +kubebuilder:validation:XIntOrString
// +kubebuilder:validation:Type=""
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:Pattern=`^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$`
type Decimal struct {
	// Text as it was written.
	Text string `json:"-"`
}

// DecimalOf writes x so that Float gives x again.
func DecimalOf(x float64) Decimal { return Decimal{strconv.FormatFloat(x, 'g', -1, 64)} }

// Float is the number; NaN where it is none, as of a resource that no schema has seen.
func (d Decimal) Float() float64 {
	x, err := strconv.ParseFloat(d.Text, 64)
	if err != nil {
		return math.NaN()
	}
	return x
}

func (d Decimal) String() string { return d.Text }

// MarshalJSON writes whole numbers as such, and others as strings.
func (d Decimal) MarshalJSON() ([]byte, error) {
	if i, err := strconv.ParseInt(d.Text, 10, 64); err == nil && strconv.FormatInt(i, 10) == d.Text {
		return []byte(d.Text), nil
	}
	return json.Marshal(d.Text)
}

// UnmarshalJSON takes strings and integers.
func (d *Decimal) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) == nil {
		d.Text = s
		return nil
	}
	var i int64
	if err := json.Unmarshal(data, &i); err != nil {
		return fmt.Errorf("%s is not allowed, must be an integer, or a number in a string", data)
	}
	d.Text = strconv.FormatInt(i, 10)
	return nil
}

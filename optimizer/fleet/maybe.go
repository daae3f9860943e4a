package fleet

import (
	"encoding/json"
	"math"
)

// Maybe is a number that may be missing. Missing is not zero: the zero value is missing.
type Maybe struct {
	value float64
	known bool
}

// Known is a number that is there.
func Known(x float64) Maybe { return Maybe{x, true} }

// Measured is a number that is missing where it is NaN or infinite, as what Prometheus makes of 0/0.
func Measured(x float64) Maybe {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return Maybe{}
	}
	return Known(x)
}

// At is the number at a pointer, missing where that is nil.
func At(p *float64) Maybe {
	if p == nil {
		return Maybe{}
	}
	return Known(*p)
}

// Get returns the number, and whether there is one.
func (m Maybe) Get() (float64, bool) { return m.value, m.known }

// Or is the number, or the given one where it is missing.
func (m Maybe) Or(x float64) float64 {
	if m.known {
		return m.value
	}
	return x
}

// OrNaN is the number, or NaN, which is how arithmetic says that one is missing.
func (m Maybe) OrNaN() float64 { return m.Or(math.NaN()) }

// Pointer to the number, nil where it is missing.
func (m Maybe) Pointer() *float64 {
	if !m.known {
		return nil
	}
	return &m.value
}

// IsZero says that the number is missing, for the JSON option omitzero.
func (m Maybe) IsZero() bool { return !m.known }

// MarshalJSON writes the number, or null. NaN and infinities, which JSON does not have, are an error.
func (m Maybe) MarshalJSON() ([]byte, error) { return json.Marshal(m.Pointer()) }

// UnmarshalJSON reads a number or null.
func (m *Maybe) UnmarshalJSON(data []byte) error {
	var p *float64
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	*m = At(p)
	return nil
}

package catalogue

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Price of one card of a type.
type Price struct {
	Type string `json:"type"`
	// CentsPerHour of US dollars, above 0.
	CentsPerHour float64 `json:"centsPerHour"`
	// Offer that it is the price of, Source that says so, and the Date (year and month) when it did.
	Offer  string `json:"offer,omitempty"`
	Source string `json:"source"`
	Date   string `json:"date,omitempty"`
}

// String for people.
func (p Price) String() string {
	s := fmt.Sprintf("%g ¢/h: %s", p.CentsPerHour, p.Source)
	if p.Offer != "" {
		s = fmt.Sprintf("%g ¢/h: %s (%s, %s)", p.CentsPerHour, p.Offer, p.Source, p.Date)
	}
	return s
}

// Prices of cards, one for a type.
type Prices []Price

// listed are on-demand list prices: facts, each with the offer, where it is said and when it was read. Those of github.com/skypilot-org/skypilot-catalog
// (Apache-2.0) name its commit. What somebody pays is theirs to say.
//
//go:embed prices.csv
var listed []byte

// BuiltInPrices are the list prices that come with the program. Types without one have none.
func BuiltInPrices() Prices {
	all, err := ReadPrices(bytes.NewReader(listed))
	if err != nil {
		panic(err) // embedded and tested
	}
	return all
}

// ReadPrices reads a CSV with the columns type and cents_per_hour, and if there are offer, source and date. The error joins every fault.
func ReadPrices(r io.Reader) (Prices, error) {
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 || !slices.Contains(rows[0], "type") || !slices.Contains(rows[0], "cents_per_hour") {
		return nil, errors.New("the first line must name the columns type and cents_per_hour")
	}
	column := func(row []string, name string) string {
		if i := slices.Index(rows[0], name); i >= 0 {
			return strings.TrimSpace(row[i])
		}
		return ""
	}
	var all Prices
	var faults []error
	for i, row := range rows[1:] {
		p, err := priceOf(column(row, "type"), column(row, "cents_per_hour"))
		if err != nil {
			faults = append(faults, fmt.Errorf("line %d: %w", i+2, err))
			continue
		}
		if _, twice := all.Find(p.Type); twice {
			faults = append(faults, fmt.Errorf("line %d: type: %q has a price already", i+2, p.Type))
		}
		p.Offer, p.Date = column(row, "offer"), column(row, "date")
		if p.Source = column(row, "source"); p.Source == "" {
			p.Source = "given"
		}
		all = append(all, p)
	}
	return all, errors.Join(faults...)
}

// ParsePrice reads TYPE=CENTS, such as H100=250.
func ParsePrice(s string) (Price, error) {
	typ, cents, has := strings.Cut(s, "=")
	if !has {
		return Price{}, fmt.Errorf("%q is not allowed, must be TYPE=CENTS_PER_HOUR such as H100=250", s)
	}
	p, err := priceOf(strings.TrimSpace(typ), strings.TrimSpace(cents))
	p.Source = "given"
	return p, err
}

// priceOf a type of the catalogue.
func priceOf(typ, cents string) (Price, error) {
	e, known := Lookup(typ)
	if !known {
		return Price{}, fmt.Errorf("type: %q is not known, known are %s", typ, strings.Join(TypeNames(), ", "))
	}
	v, err := strconv.ParseFloat(cents, 64)
	if err != nil || !(v > 0 && v < 1e6) || math.IsNaN(v) {
		return Price{}, fmt.Errorf("price of %s: %q is not allowed, must be cents per hour above 0 and below 1000000", e.Type, cents)
	}
	return Price{Type: e.Type, CentsPerHour: v}, nil
}

// TypeNames are those of all types, sorted.
func TypeNames() []string {
	types := Types()
	names := make([]string, len(types))
	for i, e := range types {
		names[i] = e.Type
	}
	return names
}

// Find the price of a type, whatever its case.
func (p Prices) Find(typ string) (Price, bool) {
	i := slices.IndexFunc(p, func(q Price) bool { return strings.EqualFold(q.Type, typ) })
	if i < 0 {
		return Price{}, false
	}
	return p[i], true
}

// With returns the list with others in front, so that they win.
func (p Prices) With(others ...Price) Prices { return append(slices.Clone(Prices(others)), p...) }

package catalogue

import (
	"regexp"
	"strings"
	"testing"
)

// Every price that ships says of what, by whom and when; a cheaper card of a kind is not a newer one by mistake of a digit.
func TestBuiltInPricesSayTheirSource(t *testing.T) {
	month := regexp.MustCompile(`^20\d\d-\d\d$`)
	for _, p := range BuiltInPrices() {
		if p.Offer == "" || p.Source == "" || !month.MatchString(p.Date) {
			t.Errorf("%+v lacks an offer, a source or a month", p)
		}
		if p.CentsPerHour < 10 || p.CentsPerHour > 2000 {
			t.Errorf("%s costs %g ¢/h", p.Type, p.CentsPerHour)
		}
	}
	cents := func(typ string) float64 { p, _ := BuiltInPrices().Find(typ); return p.CentsPerHour }
	if !(cents("T4") < cents("L4") && cents("L4") < cents("L40S") && cents("L40S") < cents("h100") && cents("H100") < cents("H200") && cents("H200") < cents("B200")) {
		t.Error("prices are not in the order of the cards")
	}
}

func TestPricesSayAllFaults(t *testing.T) {
	_, err := ReadPrices(strings.NewReader("type,cents_per_hour\nH100,0\nX9,3\nL4,70\nl4,71\nT4,NaN\n"))
	for _, want := range []string{"line 2: price of H100", "line 3: type: \"X9\" is not known, known are A10,", "line 5: type: \"L4\" has a price already", "line 6: price of T4"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want that it says %q", err, want)
		}
	}
	if _, err := ReadPrices(strings.NewReader("a,b\n")); err == nil {
		t.Error("a table without prices is one")
	}
	for _, s := range []string{"H100", "H100=", "=3", "H100=-1", "H100=Inf"} {
		if p, err := ParsePrice(s); err == nil {
			t.Errorf("%q is %v", s, p)
		}
	}
	given, err := ParsePrice("h100=250")
	if p, _ := BuiltInPrices().With(given).Find("H100"); err != nil || p.CentsPerHour != 250 || p.Source != "given" {
		t.Errorf("H100 costs %v (%v), want 250 as given", p, err)
	}
}

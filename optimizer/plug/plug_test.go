package plug_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/plug"
)

type speed struct {
	Knots float64 `json:"knots"`
}

func (s speed) Validate() error {
	if s.Knots <= 0 {
		return fmt.Errorf("knots: %v is not above 0", s.Knots)
	}
	return nil
}

func ships() plug.Registry[float64] {
	return plug.NewRegistry("ship",
		plug.Of("sail", func() speed { return speed{Knots: 5} }, func(s speed) (float64, error) { return s.Knots, nil }),
		plug.Of("wreck", func() plug.NoOptions { return plug.NoOptions{} }, func(plug.NoOptions) (float64, error) {
			return 0, errors.New("does not float")
		}),
	)
}

func TestNew(t *testing.T) {
	for _, c := range []struct {
		name, ship, options string
		want                float64
		errs                []string
	}{
		{"defaults fill what is absent", "sail", "", 5, nil},
		{"options overwrite defaults", "sail", `{"knots": 7}`, 7, nil},
		{"unknown name lists the known ones", "submarine", "", 0, []string{"ship", `"submarine"`, "sail, wreck"}},
		{"unknown option", "sail", `{"knotz": 7}`, 0, []string{"sail", "knotz"}},
		{"duplicate option", "sail", `{"knots": 7, "knots": 8}`, 0, []string{"duplicate", "knots"}},
		{"wrong type", "sail", `{"knots": "fast"}`, 0, []string{"knots: string stands where a number is expected"}},
		{"an unknown one and one out of range", "sail", `{"knotz": 7, "knots": -1}`, 0, []string{`"knotz"`, "knots: -1 is not above 0"}},
		{"out of range", "sail", `{"knots": -1}`, 0, []string{"knots: -1 is not above 0"}},
		{"constructor fails", "wreck", "", 0, []string{"ship", "does not float"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ships().New(c.ship, []byte(c.options))
			if len(c.errs) == 0 && err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
			for _, want := range c.errs {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v does not say %q", err, want)
				}
			}
		})
	}
}

func TestRegisteredTwicePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	e := plug.Entry[int]{Name: "same"}
	plug.NewRegistry("thing", e, e)
}

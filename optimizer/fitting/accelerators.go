package fitting

import (
	"embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

//go:embed catalogue/accelerators.csv catalogue/models.json
var catalogue embed.FS

// Accelerator are the numbers of one card that bound what an iteration takes.
type Accelerator struct {
	Name string
	// Memory in bytes and its bandwidth in bytes per second.
	Memory, Bandwidth float64
	// BF16, FP8 and FP4 are dense FLOP/s by precision, 0 where the card lacks it.
	BF16, FP8, FP4 float64
	// Link is the bandwidth between cards of one node in bytes per second and direction.
	Link float64
}

// Accelerators by name.
type Accelerators []Accelerator

// BuiltInAccelerators is the catalogue that comes with the program.
func BuiltInAccelerators() Accelerators {
	f, err := catalogue.Open("catalogue/accelerators.csv")
	if err != nil {
		panic(err) // embedded
	}
	defer func() { _ = f.Close() }()
	all, err := ReadAccelerators(f)
	if err != nil {
		panic(err) // embedded and tested
	}
	return all
}

// ReadAccelerators reads a CSV with the columns accelerator, memory_bytes, memory_bandwidth_bytes_per_s, bf16_flops_per_s and, where
// known, fp8_flops_per_s, fp4_flops_per_s, intra_node_bandwidth_bytes_per_s. The error joins every fault.
func ReadAccelerators(r io.Reader) (Accelerators, error) {
	t, err := readTable(r)
	if err != nil {
		return nil, err
	}
	faults := []error{t.need("accelerator", "memory_bytes", "memory_bandwidth_bytes_per_s", "bf16_flops_per_s")}
	var all Accelerators
	for _, row := range t.rows {
		a := Accelerator{
			Name:   row.text("accelerator"),
			Memory: row.positive("memory_bytes"), Bandwidth: row.positive("memory_bandwidth_bytes_per_s"), BF16: row.positive("bf16_flops_per_s"),
			FP8: row.optional("fp8_flops_per_s"), FP4: row.optional("fp4_flops_per_s"), Link: row.optional("intra_node_bandwidth_bytes_per_s"),
		}
		faults = append(faults, row.faults...)
		all = append(all, a)
	}
	return all, errors.Join(faults...)
}

// With returns the list with others in front, so that they win.
func (a Accelerators) With(others Accelerators) Accelerators {
	return append(append(Accelerators(nil), others...), a...)
}

// family is the word of an accelerator's name that says what card it is.
var family = regexp.MustCompile(`(?i)(?:^|[^a-z0-9])((?:gb|[abhltv]|mi)\d{1,3}[sx]?)(?:$|[^0-9])`)

func familyOf(name string) string {
	if m := family.FindStringSubmatch(name); m != nil {
		return strings.ToLower(m[1])
	}
	return ""
}

// Find returns the accelerator of that name, whatever its case and punctuation; without one, the first of the same family, so that
// "A100-80" and "NVIDIA-H100-80GB-HBM3" are known.
func (a Accelerators) Find(name string) (Accelerator, bool) {
	want := plain(name)
	for _, c := range a {
		if plain(c.Name) == want {
			return c, true
		}
	}
	kin := familyOf(name)
	for _, c := range a {
		if kin != "" && familyOf(c.Name) == kin {
			return c, true
		}
	}
	return Accelerator{}, false
}

// plain is a name in lower case without punctuation.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, name)
}

// table is a CSV file by column name.
type table struct {
	header []string
	column map[string]int
	rows   []*record
}

// record is one row, which collects its own faults.
type record struct {
	table  *table
	line   int
	fields []string
	faults []error
}

func readTable(r io.Reader) (*table, error) {
	c := csv.NewReader(r)
	c.ReuseRecord = false
	header, err := c.Read()
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	t := &table{header: header, column: map[string]int{}}
	for i, name := range header {
		if _, twice := t.column[name]; twice {
			return nil, fmt.Errorf("header: column %q is there twice", name)
		}
		t.column[name] = i
	}
	for {
		fields, err := c.Read()
		if err == io.EOF {
			return t, nil
		}
		if err != nil {
			return nil, err
		}
		line, _ := c.FieldPos(0)
		t.rows = append(t.rows, &record{table: t, line: line, fields: fields})
	}
}

// need says which columns are missing.
func (t *table) need(columns ...string) error {
	var missing []string
	for _, c := range columns {
		if _, ok := t.column[c]; !ok {
			missing = append(missing, c)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	sort.Strings(missing)
	return fmt.Errorf("missing columns %s", strings.Join(missing, ", "))
}

func (t *table) has(column string) bool {
	_, ok := t.column[column]
	return ok
}

func (r *record) text(column string) string {
	i, ok := r.table.column[column]
	if !ok {
		return ""
	}
	return strings.TrimSpace(r.fields[i])
}

// optional reads a number that may be absent, which is 0.
func (r *record) optional(column string) float64 {
	s := r.text(column)
	if s == "" {
		return 0
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 0 && v < 1e30) {
		r.faults = append(r.faults, fmt.Errorf("line %d: %s: %q is not a number of at least 0", r.line, column, s))
		return 0
	}
	return v
}

// given reads a number that may be zero but must be there.
func (r *record) given(column string) float64 {
	if r.table.has(column) && r.text(column) == "" {
		r.faults = append(r.faults, fmt.Errorf("line %d: %s: is missing", r.line, column))
	}
	return r.optional(column)
}

// positive reads a number that must be there.
func (r *record) positive(column string) float64 {
	if !r.table.has(column) {
		return 0 // said once, by need
	}
	before := len(r.faults)
	v := r.optional(column)
	if v == 0 && len(r.faults) == before {
		r.faults = append(r.faults, fmt.Errorf("line %d: %s: %q is not above 0", r.line, column, r.text(column)))
	}
	return v
}

// rack says that the cards of a rack are one domain, whatever their nodes.
func (c Accelerator) rack() bool { return strings.HasPrefix(plain(c.Name), "gb") && c.Link > 0 }

// wired is a card as one of so many of a replica: those on several nodes have the network between them.
func (c Accelerator) wired(cards int) Accelerator {
	if cards > node && !c.rack() {
		c.Link = min(c.Link, network)
	}
	return c
}

// SpansNodes says whether replicas of a type are built over nodes: those of cards whose links are faster than the network.
func (k Knowledge) SpansNodes(typ string) bool {
	c, known := k.Accelerators.Find(typ)
	return known && c.Link > network
}

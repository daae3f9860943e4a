package observe

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/prometheus/common/model"
)

// reader reads JSON as Prometheus writes it, as it comes. A fleet of 10,000 pods has a million series in a cycle: read by a decoder for everything, with a
// string of its own for every label, they are most of the cycle's time and of its garbage. It is no judge: of what is not well-formed it may read some.
type reader struct {
	in *bufio.Reader
	// err is why no more could be read.
	err error
	// seen are the strings, each kept once: those of one answer repeat each other.
	seen map[string]string
	// at is the text of the time that was read last, which the next ones mostly repeat.
	at   []byte
	time model.Time
}

func newReader(in io.Reader) *reader {
	return &reader{in: bufio.NewReaderSize(in, 1<<16), seen: map[string]string{}}
}

// no says that something else was expected, or that there is no more.
func (r *reader) no(what string) error {
	if errors.Is(r.err, io.EOF) {
		r.err = io.ErrUnexpectedEOF
	}
	return cmp.Or(r.err, fmt.Errorf("what follows is no %s", what))
}

// series reads {"metric": {...}, "value": [...]}, or "values".
func (r *reader) series(s *Series) error {
	return r.members(func(name string) (err error) {
		switch name {
		case "metric":
			err = r.members(func(name string) error {
				value, err := r.word()
				s.Metric[model.LabelName(name)] = model.LabelValue(value)
				return err
			})
		case "value":
			err = r.sample(s)
		case "values":
			err = r.list(func() error { return r.sample(s) })
		default:
			_, err = r.raw()
		}
		return err
	})
}

// sample reads a value with its time, as in [1435781451.781, "1"].
func (r *reader) sample(s *Series) error {
	if !r.next('[') {
		return r.no("value with its time")
	}
	text, err := r.in.ReadSlice(']')
	if err != nil {
		return err
	}
	at, value, _ := bytes.Cut(text[:len(text)-1], []byte(","))
	if !bytes.Equal(at, r.at) {
		if err := r.time.UnmarshalJSON(bytes.TrimSpace(at)); err != nil {
			return fmt.Errorf("[%s is no value with its time: %w", text, err)
		}
		r.at = append(r.at[:0], at...)
	}
	v, err := strconv.ParseFloat(string(bytes.Trim(value, "\" \t\r\n")), 64)
	if err != nil {
		return fmt.Errorf("[%s is no value with its time: %w", text, err)
	}
	s.Values = append(s.Values, model.SamplePair{Timestamp: r.time, Value: model.SampleValue(v)})
	return nil
}

// peek is the next character that is no white space; 0 where there is none.
func (r *reader) peek() byte {
	for {
		c, err := r.in.ReadByte()
		if err != nil {
			r.err = err
			return 0
		}
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			r.err = r.in.UnreadByte()
			return c
		}
	}
}

// next reads a character if it is the next one.
func (r *reader) next(c byte) bool {
	if r.peek() != c {
		return false
	}
	_, r.err = r.in.ReadByte()
	return true
}

// null reads null.
func (r *reader) null() (bool, error) {
	if r.peek() != 'n' {
		return false, nil
	}
	_, err := r.raw()
	return true, err
}

// list calls for each element of a list, to read it; null has none.
func (r *reader) list(element func() error) error {
	if null, err := r.null(); null || err != nil {
		return err
	}
	if !r.next('[') {
		return r.no("list")
	}
	for !r.next(']') {
		if err := element(); err != nil {
			return err
		}
		r.next(',')
	}
	return nil
}

// members calls for each member of an object with its name, to read its value; null has none.
func (r *reader) members(value func(name string) error) error {
	if null, err := r.null(); null || err != nil {
		return err
	}
	if !r.next('{') {
		return r.no("object")
	}
	for !r.next('}') {
		name, err := r.word()
		if err != nil {
			return err
		}
		if !r.next(':') {
			return fmt.Errorf("%s: %w", name, r.no("value"))
		}
		if err := value(name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r.next(',')
	}
	return nil
}

// word reads a string.
func (r *reader) word() (string, error) {
	if !r.next('"') {
		return "", r.no("string")
	}
	part, err := r.in.ReadSlice('"')
	if err == nil && !escaped(part) {
		return r.once(part[:len(part)-1])
	}
	text := bytes.Clone(part)
	for err == bufio.ErrBufferFull || err == nil && escaped(text) {
		part, err = r.in.ReadSlice('"')
		text = append(text, part...)
	}
	if err != nil {
		r.err = err
		return "", r.no("string")
	}
	return r.once(text[:len(text)-1])
}

// escaped says whether the quote at the end of a text is a character of it.
func escaped(text []byte) bool {
	before := text[:len(text)-1]
	return (len(before)-len(bytes.TrimRight(before, `\`)))%2 == 1
}

// once is the string that a text stands for, the same one each time.
func (r *reader) once(text []byte) (string, error) {
	if s, known := r.seen[string(text)]; known {
		return s, nil
	}
	s := string(text)
	if bytes.IndexByte(text, '\\') >= 0 {
		if err := json.Unmarshal([]byte(`"`+s+`"`), &s); err != nil {
			return "", err
		}
	}
	r.seen[string(text)] = s
	return s, nil
}

// raw reads a value as it is.
func (r *reader) raw() (text []byte, err error) {
	for depth, quoted := 0, false; ; {
		c, err := r.in.ReadByte()
		if err != nil {
			r.err = err
			return nil, r.no("value")
		}
		ends := c == '}' || c == ']' || c == ','
		if !quoted && depth == 0 && ends { // of a number, or of a word such as null
			return text, r.in.UnreadByte()
		}
		text = append(text, c)
		switch {
		case c == '"' && !(quoted && escaped(text)):
			quoted = !quoted
		case !quoted && (c == '{' || c == '['):
			depth++
		case !quoted && ends && c != ',':
			depth--
		}
		if !quoted && depth == 0 && (c == '"' || ends) {
			return text, nil
		}
	}
}

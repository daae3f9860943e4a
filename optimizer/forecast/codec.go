package forecast

import (
	"encoding/binary"
	"math"
)

// codec writes values to bytes or reads them back, by the same walk over what is remembered. What is read beyond the end, or is none of what could
// have been written, makes it bad.
type codec struct {
	data    []byte
	reading bool
	bad     bool
}

// check makes the codec bad where something does not hold.
func (c *codec) check(holds bool) { c.bad = c.bad || !holds }

// take gives the next bytes that are read; zeros where there are none.
func (c *codec) take(n int) []byte {
	if c.bad || len(c.data) < n {
		c.bad = true
		return make([]byte, n)
	}
	taken := c.data[:n]
	c.data = c.data[n:]
	return taken
}

// exact keeps all digits.
func (c *codec) exact(x *float64) {
	if !c.reading {
		c.data = binary.LittleEndian.AppendUint64(c.data, math.Float64bits(*x))
		return
	}
	*x = math.Float64frombits(binary.LittleEndian.Uint64(c.take(8)))
	c.check(!math.IsNaN(*x) && !math.IsInf(*x, 0))
}

// number keeps five digits: the upper three bytes of a float32.
func (c *codec) number(x *float64) {
	c.float(x, 3)
	c.check(!math.IsNaN(*x))
}

// coarse keeps two and a half digits: the upper half of a float32. NaN, which stands for what is not known, stays NaN.
func (c *codec) coarse(x *float64) { c.float(x, 2) }

// float keeps the first bytes of a float32, rounded.
func (c *codec) float(x *float64, size int) {
	var word [4]byte
	if c.reading {
		copy(word[:], c.take(size))
		*x = float64(math.Float32frombits(binary.BigEndian.Uint32(word[:])))
		c.check(!math.IsInf(*x, 0))
		return
	}
	bits := math.Float32bits(float32(*x))
	if !math.IsNaN(*x) {
		bits += 1 << (31 - 8*size)
	}
	binary.BigEndian.PutUint32(word[:], bits)
	c.data = append(c.data, word[:size]...)
}

// escape stands before a count that does not fit into four bits.
// Exact: the largest number of four bits.
const escape = 15

// counts of at most 255, mostly below escape, four bits each.
func (c *codec) counts(list []int) {
	half := false
	nibble := func(n int) int {
		if half = !half; half {
			if c.reading {
				return int(c.peek() >> 4)
			}
			c.data = append(c.data, byte(n<<4))
			return n
		}
		if c.reading {
			return int(c.take(1)[0] & 15)
		}
		c.data[len(c.data)-1] |= byte(n)
		return n
	}
	for i, n := range list {
		if n = nibble(min(n, escape)); n == escape {
			rest := list[i] - escape
			high := nibble(rest >> 4)
			n += high<<4 | nibble(rest&15)
		}
		list[i] = n
	}
	if half {
		nibble(0)
	}
}

// peek at the next byte; 0 where there is none.
func (c *codec) peek() byte {
	if len(c.data) == 0 {
		c.bad = true
		return 0
	}
	return c.data[0]
}

// whole numbers from 0 to most.
func (c *codec) whole(n *int, most int) {
	if !c.reading {
		c.data = binary.AppendUvarint(c.data, uint64(*n))
		return
	}
	x, size := binary.Uvarint(c.data)
	if c.bad || size <= 0 || x > uint64(most) {
		c.bad, *n = true, 0
		return
	}
	c.data, *n = c.data[size:], int(x)
}

// flag is a truth value.
func (c *codec) flag(b *bool) {
	n := 0
	if *b {
		n = 1
	}
	c.whole(&n, 1)
	*b = n == 1
}

// length of a list, made as long where it is read.
func length[T any](c *codec, list *[]T, most int) {
	n := len(*list)
	c.whole(&n, most)
	if c.reading {
		*list = make([]T, n)
	}
}

// missing stands for a value that is not there.
const missing = math.MinInt32

// curve writes values that lie close to those before them, each by its distance: mostly one byte.
func (c *codec) curve(list *[]int32, most int) {
	length(c, list, most)
	last := int64(0)
	for i := range *list {
		if c.reading {
			(*list)[i], last = c.follows(last)
			continue
		}
		if v := (*list)[i]; v == missing {
			c.data = append(c.data, 0)
		} else {
			d := int64(v) - last
			c.data, last = binary.AppendUvarint(c.data, uint64(d<<1^d>>63)+1), int64(v)
		}
	}
}

// follows reads the value that follows another.
func (c *codec) follows(last int64) (int32, int64) {
	x, size := binary.Uvarint(c.data)
	if c.bad || size <= 0 {
		c.bad = true
		return missing, last
	}
	c.data = c.data[size:]
	if x == 0 {
		return missing, last
	}
	x--
	next := last + (int64(x>>1) ^ -int64(x&1))
	if next < -math.MaxInt16 || next > math.MaxInt16 {
		c.bad = true
		return missing, last
	}
	return int32(next), next
}

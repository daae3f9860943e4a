package choicelp

import "math"

// gaussJordan writes the inverse of the m×m matrix a, which it destroys. False: a is singular.
func gaussJordan(a, inverse []float64, m int) bool {
	clear(inverse)
	for r := range m {
		inverse[r*m+r] = 1
	}
	for c := range m {
		pivot := c
		for r := c + 1; r < m; r++ {
			if math.Abs(a[r*m+c]) > math.Abs(a[pivot*m+c]) {
				pivot = r
			}
		}
		if math.Abs(a[pivot*m+c]) < 1e-11 {
			return false
		}
		if pivot != c {
			for k := range m {
				a[pivot*m+k], a[c*m+k] = a[c*m+k], a[pivot*m+k]
				inverse[pivot*m+k], inverse[c*m+k] = inverse[c*m+k], inverse[pivot*m+k]
			}
		}
		f := 1 / a[c*m+c]
		for k := range m {
			a[c*m+k] *= f
			inverse[c*m+k] *= f
		}
		for r := range m {
			f := a[r*m+c]
			if r == c || f == 0 {
				continue
			}
			for k := range m {
				a[r*m+k] -= f * a[c*m+k]
				inverse[r*m+k] -= f * inverse[c*m+k]
			}
		}
	}
	return true
}

func heapify(h []breakpoint) {
	for i := len(h)/2 - 1; i >= 0; i-- {
		siftDown(h, i)
	}
}

func siftDown(h []breakpoint, i int) {
	for {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && h[c+1].before(h[c]) {
			c++
		}
		if !h[c].before(h[i]) {
			return
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
}

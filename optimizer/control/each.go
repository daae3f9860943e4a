package control

import (
	"runtime"

	"golang.org/x/sync/errgroup"
)

// few servers are not worth the trouble of sharing them out.
//
// Tuned: servers; guard against goroutines for work of microseconds: half and twice of it make no difference
const few = 16

// each does something for every server of so many, on all processors: with what is its own alone, so that nothing depends on the order.
func each(n int, do func(i int)) {
	if n < few {
		for i := range n {
			do(i)
		}
		return
	}
	var all errgroup.Group
	workers := min(runtime.GOMAXPROCS(0), n)
	for w := range workers {
		all.Go(func() error {
			for i := w; i < n; i += workers {
				do(i)
			}
			return nil
		})
	}
	_ = all.Wait()
}

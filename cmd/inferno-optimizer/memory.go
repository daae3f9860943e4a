package main

import (
	"math"
	"os"
	"runtime/debug"
)

// reserve leaves room for the program itself in what GOMEMLIMIT gives to the process, the memory that its container requests: the Go runtime counts what
// it allocates, and not what is mapped of the program's file.
func reserve() {
	limit := debug.SetMemoryLimit(-1)
	path, err := os.Executable()
	if err != nil || limit == math.MaxInt64 {
		return
	}
	if program, err := os.Stat(path); err == nil {
		debug.SetMemoryLimit(heapLimit(limit, program.Size()))
	}
}

// heapLimit is what is left for the heap, at least half: with less the collector would do nothing else.
func heapLimit(limit, program int64) int64 { return max(limit-program, limit/2) }

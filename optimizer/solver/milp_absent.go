//go:build !cgo || !lpsolve

package solver

import "github.com/llm-inferno/inferno/optimizer/solver/internal/choicelp"

const haveLPSolve = false

func lpSolve(*choicelp.Program, int) ([]int32, bool) { return nil, false }

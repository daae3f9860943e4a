// Package version says which release a program is.
package version

import (
	"cmp"
	"runtime/debug"
)

// Set by the linker for a release: -X github.com/llm-inferno/inferno/version.release=v0.2.0 and .revision=COMMIT.
var release, revision string

// String is the release, with the revision that it was built from where that is known: "v0.2.0 (1a2b3c4)". Programs that were built by go
// install have the version of their module, others say "(devel)".
func String() string {
	name := release
	if info, known := debug.ReadBuildInfo(); known {
		name = cmp.Or(name, info.Main.Version)
	}
	name = cmp.Or(name, "unknown")
	if revision == "" {
		return name
	}
	return name + " (" + revision + ")"
}

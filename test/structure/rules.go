package main

import (
	"fmt"
	"slices"
)

// edges are the folders of the optimizer that reach outside: everything else of it is the core, packages to come included.
var edges = []string{"optimizer/adoption", "optimizer/console", "optimizer/gates", "optimizer/loop", "optimizer/localcluster", "optimizer/observe", "optimizer/evaluation", "optimizer/restapi"}

// forbidden to the core, with why.
var forbidden = []struct {
	why      string
	packages []string
}{
	{"a client", []string{
		"k8s.io/client-go", "sigs.k8s.io/controller-runtime", "github.com/prometheus/client_golang", "net/http", "net/rpc", "google.golang.org/grpc",
	}},
	{"a logger", []string{"log", "k8s.io/klog", "github.com/go-logr/logr"}},
}

// shipped are the folders that users get.
var shipped = []string{"cmd", "plugins", "metricsadapter", "optimizer", "manifests"}

// boundaries convert units: between minutes, milliseconds and the seconds of the core. No other package that unitFree lists may.
var boundaries = []string{"optimizer/api/jsonspec", "optimizer/specification"}

// check all rules; each error names the package and the rule.
func check(root string, house []pkg) []error {
	faults := slices.Concat(coreImports(house), shippedImports(house))
	for _, p := range house {
		if isCore(p.Path) {
			faults = append(faults, clocks(root, p)...)
		}
		if slices.Contains(unitFree, p.Path) {
			faults = append(faults, conversions(root, p)...)
		}
	}
	return append(faults, listed(house)...)
}

func isCore(path string) bool { return below(path, "optimizer") && !below(path, edges...) }

// coreImports: the core imports no client, no logger and no edge.
func coreImports(house []pkg) []error {
	var faults []error
	for _, p := range house {
		if !isCore(p.Path) {
			continue
		}
		for _, i := range p.Imports {
			for _, f := range forbidden {
				if below(i, f.packages...) {
					faults = append(faults, fmt.Errorf("%s: imports %s, %s; the decision core may not", p.Path, i, f.why))
				}
			}
		}
		for _, o := range p.Ours {
			if !isCore(o) && below(o, "optimizer") {
				faults = append(faults, fmt.Errorf("%s: imports %s, which reaches outside; the decision core may not", p.Path, o))
			}
		}
	}
	return faults
}

// shippedImports: nothing that ships imports what is for tests.
func shippedImports(house []pkg) []error {
	var faults []error
	for _, p := range house {
		for _, o := range p.Ours {
			if below(p.Path, shipped...) && below(o, "test") {
				faults = append(faults, fmt.Errorf("%s: imports %s, which does not ship", p.Path, o))
			}
		}
	}
	return faults
}

// listed: a package that unitFree names exists, and is no boundary.
func listed(house []pkg) []error {
	var faults []error
	for _, path := range unitFree {
		if !slices.ContainsFunc(house, func(p pkg) bool { return p.Path == path }) {
			faults = append(faults, fmt.Errorf("unitFree: package %s does not exist", path))
		}
		if slices.Contains(boundaries, path) {
			faults = append(faults, fmt.Errorf("unitFree: package %s is a boundary, which converts units", path))
		}
	}
	return faults
}

package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llm-inferno/inferno/release/oci"
	"github.com/llm-inferno/inferno/release/sbom"
)

// here is the revision of this working tree, as it is, under a name and a commit made up.
func here(t *testing.T) revision {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return revision{version: "v1.2.3", commit: strings.Repeat("0123abcd", 5), time: time.Unix(1e9, 0), root: root}
}

// engine is the program that is fastest to build.
var engine = images[4]

// The same sources give the same image from another directory, with another build cache's paths and at another time.
func TestTwoBuildsGiveOneDigest(t *testing.T) {
	first := here(t)
	second := first
	second.root = filepath.Join(t.TempDir(), "elsewhere")
	if err := os.CopyFS(second.root, sources(t, first.root)); err != nil {
		t.Fatal(err)
	}
	digests := map[string]bool{}
	for _, r := range []revision{first, second} {
		o := imageOptions{out: t.TempDir(), only: engine.name, architectures: "amd64"}
		built, err := o.build(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		digest, err := built[0].index.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests[digest.String()] = true
		checkStamp(t, filepath.Join(o.out, "bin", "linux-amd64", engine.name))
		checkParts(t, filepath.Join(o.out, "sbom", engine.name+"-linux-amd64.spdx.json"))
		if _, err := oci.ReadIndex(filepath.Join(o.out, "images", engine.name), r.version); err != nil {
			t.Error(err)
		}
	}
	if len(digests) != 1 {
		t.Errorf("digests %v", digests)
	}
}

func checkStamp(t *testing.T, file string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), file, "--version").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "v1.2.3 (0123abcd0123)") {
		t.Errorf("%s: %v", out, err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if home, err := os.UserHomeDir(); err == nil && strings.Contains(string(data), filepath.Join(home, "go", "pkg")) {
		t.Error("the binary holds paths of this machine")
	}
}

func checkParts(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var d sbom.Document
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{d.SPDXID: true}
	var names []string
	for _, p := range d.Packages {
		if ids[p.SPDXID] {
			t.Errorf("%s is there twice", p.SPDXID)
		}
		ids[p.SPDXID] = true
		if p.LicenseDeclared == "" || p.LicenseDeclared == "NOASSERTION" {
			t.Errorf("%s has the licence %q", p.Name, p.LicenseDeclared)
		}
		names = append(names, p.Name)
	}
	for _, want := range []string{"engine", "stdlib", "github.com/prometheus/client_golang", "github.com/spf13/cobra"} {
		if !slices.Contains(names, want) {
			t.Errorf("no package %s in %v", want, names)
		}
	}
	for _, r := range d.Relationships {
		if !ids[r.Element] || !ids[r.Related] {
			t.Errorf("%v relates what is not there", r)
		}
	}
}

// Scheduler, adapter and optimizer are not linked with what only the command line needs, nor with each other.
func TestProgramsLinkWhatTheyNeed(t *testing.T) {
	root := here(t).root
	for name, forbidden := range map[string][]string{
		"inferno-scheduler": {"gonum.org", "sigs.k8s.io/controller-runtime", "sigs.k8s.io/custom-metrics-apiserver", module + "/optimizer/localcluster", module + "/optimizer/solver"},
		"inferno-adapter":   {"gonum.org", "sigs.k8s.io/controller-runtime/pkg/manager", "k8s.io/kubernetes", module + "/optimizer/localcluster", module + "/optimizer/solver"},
		"inferno-optimizer": {"gonum.org/v1/plot", "k8s.io/kubernetes", "sigs.k8s.io/custom-metrics-apiserver", module + "/optimizer/localcluster"},
	} {
		deps, err := output(t.Context(), root, "go", "list", "-deps", "./cmd/"+name)
		if err != nil {
			t.Fatal(err)
		}
		for _, dep := range strings.Fields(deps) {
			if dep == "k8s.io/kubernetes/third_party/forked/golang/expansion" { // how kubelets expand $(NAME), which imports nothing of Kubernetes
				continue
			}
			for _, f := range forbidden {
				if dep == f || strings.HasPrefix(dep, f+"/") {
					t.Errorf("%s links %s", name, dep)
				}
			}
		}
	}
}

func TestRevision(t *testing.T) {
	for _, version := range []string{"", "0.2.0", "v1", "latest"} {
		if _, err := newRevision(context.Background(), ".", version); err == nil || !strings.Contains(err.Error(), version) {
			t.Errorf("version %q: %v", version, err)
		}
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1000000000")
	if r, err := newRevision(t.Context(), ".", "v0.2.0"); err == nil && (!r.time.Equal(time.Unix(1e9, 0)) || len(r.commit) != 40) {
		t.Errorf("%+v", r)
	}
	if _, err := (&imageOptions{only: "inferno,x,y"}).selected(); err == nil || !strings.Contains(err.Error(), `"x"`) || !strings.Contains(err.Error(), `"y"`) {
		t.Errorf("error %v", err)
	}
}

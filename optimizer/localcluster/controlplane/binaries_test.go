package controlplane

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// useFakeGo puts a go command first in the PATH that behaves like go build -v as the script says; $out is the file that
// it is to build.
func useFakeGo(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	text := "#!/bin/sh\nfor a; do test \"$last\" = -o && out=$a; last=$a; done\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
}

func TestBinaryIsBuiltOnce(t *testing.T) {
	useFakeGo(t, `test -f go.mod && test -f go.sum && echo built >"$out" && chmod +x "$out" && echo an/import/path >&2`)
	cache := t.TempDir()
	var progress bytes.Buffer
	paths, err := Binaries(t.Context(), cache, &progress, Etcd)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(paths[Etcd]); err != nil || string(data) != "built\n" {
		t.Errorf("%s holds %q (error %v)", paths[Etcd], data, err)
	}
	if !strings.HasPrefix(paths[Etcd], cache) {
		t.Errorf("%s is not in the cache %s", paths[Etcd], cache)
	}
	if got := progress.String(); !strings.Contains(got, "building etcd") || !strings.Contains(got, "built etcd") {
		t.Errorf("progress was %q", got)
	}
	useFakeGo(t, "exit 1")
	progress.Reset()
	again, err := Binaries(t.Context(), cache, &progress, Etcd)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(paths, again); diff != "" {
		t.Errorf("(-first +second):\n%s", diff)
	}
	if progress.Len() > 0 {
		t.Errorf("with nothing to do, progress was %q", progress.String())
	}
}

// A plane does not wait for what only a real node needs; a program of ours is built from its own text.
func TestWhatOnlySomeNeedIsBuiltWhereNamed(t *testing.T) {
	useFakeGo(t, `echo built >"$out" && chmod +x "$out"; grep -q . main.go && cp main.go "$out"; exit 0`)
	cache := t.TempDir()
	paths, err := Binaries(t.Context(), cache, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, built := paths[Kubelet]; built || paths[APIServer] == "" {
		t.Errorf("without a name these are built: %v", paths)
	}
	paths, err = Binaries(t.Context(), cache, nil, CoreDNS)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(paths[CoreDNS]); err != nil || !strings.Contains(string(text), "Command coredns") || len(paths) != 1 {
		t.Errorf("%v holds %q (%v)", paths, text, err)
	}
}

func TestFailedBuildQuotesTheCompilerAndLeavesNoBinary(t *testing.T) {
	useFakeGo(t, `echo half >"$out"; chmod +x "$out"; echo 'x.go:1: no such thing' >&2; exit 2`)
	cache := t.TempDir()
	_, err := Binaries(t.Context(), cache, nil, Etcd)
	if err == nil || !strings.Contains(err.Error(), "x.go:1: no such thing") || !strings.Contains(err.Error(), "etcd") {
		t.Errorf("error %v, want one that names the binary and quotes the compiler", err)
	}
	left, err := filepath.Glob(filepath.Join(cache, "*", "*", "etcd*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (error %v)", left, err)
	}
}

func TestLinesOfABuildAreTold(t *testing.T) {
	for line, want := range map[string]bool{
		"k8s.io/api/core/v1": true, "fmt": true, "": false,
		"# k8s.io/api/core/v1": false, "x.go:1: undefined": false, "go: downloading k8s.io/api v0.37.2": false,
	} {
		if got := isPackagePath(line); got != want {
			t.Errorf("isPackagePath(%q) = %v, want %v", line, got, want)
		}
	}
}

func TestKubernetesOfBinariesIsThatOfTheProject(t *testing.T) {
	project, err := os.ReadFile(filepath.Join("..", "..", "..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kubernetes", "node"} {
		binaries, err := modules.ReadFile("binaries/" + name + ".mod")
		if err != nil {
			t.Fatal(err)
		}
		const module = "k8s.io/kubernetes"
		got, want := moduleVersion(binaries, module), moduleVersion(project, module)
		if got == "" || got != want {
			t.Errorf("binaries/%s.mod has %s %q, go.mod has %q", name, module, got, want)
		}
	}
}

// The oldest controller manager is of the oldest version, and of no other is one asked for.
func TestOldestControllerManagerIsOfTheOldestVersion(t *testing.T) {
	mod, err := modules.ReadFile("binaries/oldest.mod")
	if err != nil {
		t.Fatal(err)
	}
	oldest := Versions()[0]
	if got := moduleVersion(mod, "k8s.io/kubernetes"); !strings.HasPrefix(got, "v"+oldest+".") {
		t.Errorf("binaries/oldest.mod has Kubernetes %s, the oldest version is %s", got, oldest)
	}
	for _, version := range append(Versions()[1:], "") {
		if _, err := Start(t.Context(), Options{Kubernetes: version, OwnControllerManager: true, CacheDir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "must be with "+oldest) {
			t.Errorf("of Kubernetes %q: %v", version, err)
		}
	}
	if got := (Options{Kubernetes: oldest, OwnControllerManager: true}).binaries(); !slices.Contains(got, OldestControllerManager) || slices.Contains(got, ControllerManager) {
		t.Errorf("it runs %v", got)
	}
}

func TestLinkerStampsTheKubernetesVersion(t *testing.T) {
	mod := []byte("module m\nrequire (\n\tk8s.io/kubernetes v1.37.2 // indirect\n)\n")
	got := recipe{stamped: true}.ldflags(mod)
	for _, want := range []string{"gitVersion=v1.37.2", "gitMajor=1", "gitMinor=37"} {
		if !slices.ContainsFunc(strings.Fields(got), func(f string) bool { return strings.HasSuffix(f, "."+want) }) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	if got := (recipe{}).ldflags(mod); got != "-s -w" {
		t.Errorf("unstamped flags are %q", got)
	}
}

func TestUnknownBinaryIsRefused(t *testing.T) {
	_, err := Binaries(t.Context(), t.TempDir(), nil, Kubectl, "crictl", "docker")
	if err == nil || !strings.Contains(err.Error(), `"crictl"`) || !strings.Contains(err.Error(), `"docker"`) {
		t.Errorf("error %v, want one that names both", err)
	}
}

func TestBuildingNeedsTheGoCommand(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := Binaries(t.Context(), t.TempDir(), nil, Etcd); err == nil || !strings.Contains(err.Error(), "needs the go command") {
		t.Errorf("error %v, want one that asks for go", err)
	}
}

func TestBuildsWaitForEachOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lockFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var said bytes.Buffer
	if _, err := waitForLock(ctx, path, &said); err == nil {
		t.Error("a lock was taken twice")
	}
	if !strings.Contains(said.String(), "waiting for another process") {
		t.Errorf("while waiting it said %q", said.String())
	}
	unlock()
	again, err := waitForLock(t.Context(), path, &said)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

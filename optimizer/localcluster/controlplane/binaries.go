package controlplane

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// modules holds the go.mod and go.sum of the modules that the binaries are built from, and the programs that are not in one of them, under other
// names because go embeds nothing from below a go.mod. See binaries/README.md for how to move them to other versions.
//
//go:embed binaries/*.mod binaries/*.sum binaries/*.go.txt
var modules embed.FS

// Binary names one of the programs of a control plane, or of what is run with one.
type Binary string

// The programs of a control plane.
const (
	Etcd              Binary = "etcd"
	APIServer         Binary = "kube-apiserver"
	ControllerManager Binary = "kube-controller-manager"
	Scheduler         Binary = "kube-scheduler" // the stock one
	Kubectl           Binary = "kubectl"
	Kwok              Binary = "kwok"
	Prometheus        Binary = "prometheus"
	Promtool          Binary = "promtool" // checks and tests rules
)

// What only some run with a control plane: it is built where it is named.
const (
	Kubelet   Binary = "kubelet"
	KubeProxy Binary = "kube-proxy"
	CoreDNS   Binary = "coredns"
	Pause     Binary = "pause" // holds the namespaces of a pod
	Helm      Binary = "helm"
	Karpenter Binary = "karpenter" // with a pretended cloud
	Kueue     Binary = "kueue"     // its controller and webhooks
	// KEDAOperator follows ScaledObjects, and KEDAAdapter serves external metrics from what it knows.
	KEDAOperator Binary = "keda-operator"
	KEDAAdapter  Binary = "keda-adapter"
	// LeaderWorkerSet is the controller of LeaderWorkerSets, and its webhooks.
	LeaderWorkerSet Binary = "leaderworkerset"
	// OldestControllerManager is of the oldest of [Versions].
	OldestControllerManager Binary = "kube-controller-manager-oldest"
)

// recipe says how a binary is built.
type recipe struct {
	binary  Binary
	module  string // binaries/<module>.mod
	pkg     string // to build; binaries/<module>.go.txt where it is "."
	tags    string
	stamped bool // with the Kubernetes version, which clients and version checks ask for
	static  bool // without C, for an image that has nothing else
	extra   bool // built only where it is named
	what    string
	// usual is how long the build takes on two idle cores after those before it; README.md says how it was measured.
	usual time.Duration
}

// recipes are in the order of building: what shares most with what came before it is built next.
var recipes = []recipe{
	{binary: Etcd, module: "etcd", pkg: "go.etcd.io/etcd/server/v3", what: "the store of the API server", usual: 10 * time.Second},
	{binary: APIServer, module: "kubernetes", pkg: "k8s.io/kubernetes/cmd/kube-apiserver", stamped: true, what: "the API server", usual: 70 * time.Second},
	{binary: ControllerManager, module: "kubernetes", pkg: "k8s.io/kubernetes/cmd/kube-controller-manager", stamped: true,
		what: "Deployments and their autoscaler", usual: 80 * time.Second},
	{binary: Scheduler, module: "kubernetes", pkg: "k8s.io/kubernetes/cmd/kube-scheduler", stamped: true, what: "the stock scheduler", usual: 10 * time.Second},
	{binary: Kubectl, module: "kubernetes", pkg: "k8s.io/kubernetes/cmd/kubectl", stamped: true, what: "the command line that tests use", usual: 40 * time.Second},
	{binary: Kwok, module: "kubernetes", pkg: "sigs.k8s.io/kwok/cmd/kwok", what: "simulated nodes and pods", usual: 15 * time.Second},
	{binary: Prometheus, module: "prometheus", pkg: prometheusRepository + "prometheus", tags: withoutDiscovery, what: "metrics", usual: 2 * time.Minute},
	{binary: Promtool, module: "prometheus", pkg: prometheusRepository + "promtool", tags: withoutDiscovery, what: "what tests alerts", usual: 5 * time.Second},
	{binary: Kubelet, module: "node", pkg: "k8s.io/kubernetes/cmd/kubelet", stamped: true, extra: true, what: "what runs pods", usual: 6 * time.Minute},
	{binary: KubeProxy, module: "node", pkg: "k8s.io/kubernetes/cmd/kube-proxy", stamped: true, extra: true, what: "the network of Services", usual: 20 * time.Second},
	{binary: CoreDNS, module: "coredns", pkg: ".", extra: true, what: "names of Services", usual: 2 * time.Minute},
	{binary: Pause, module: "pause", pkg: ".", static: true, extra: true, what: "what pods begin with", usual: 10 * time.Second},
	{binary: Helm, module: "helm", pkg: "helm.sh/helm/v4/cmd/helm", extra: true, what: "what installs charts", usual: 4 * time.Minute},
	{binary: OldestControllerManager, module: "oldest", pkg: "k8s.io/kubernetes/cmd/kube-controller-manager", stamped: true, extra: true,
		what: "Deployments and their autoscaler, of the oldest Kubernetes", usual: 10 * time.Minute},
	{binary: Karpenter, module: "karpenter", pkg: ".", extra: true, what: "what buys nodes", usual: 5 * time.Minute},
	{binary: Kueue, module: "kueue", pkg: "sigs.k8s.io/kueue/cmd/kueue", extra: true, what: "what admits workloads to quotas", usual: 8 * time.Minute},
	{binary: KEDAOperator, module: "keda", pkg: "github.com/kedacore/keda/v2/cmd/operator", extra: true, what: "what scales by events", usual: 20 * time.Minute},
	{binary: KEDAAdapter, module: "keda", pkg: "github.com/kedacore/keda/v2/cmd/adapter", extra: true, what: "what serves its metrics", usual: 2 * time.Minute},
	{binary: LeaderWorkerSet, module: "lws", pkg: "sigs.k8s.io/lws/cmd", extra: true, what: "what makes groups of pods", usual: time.Minute},
}

const (
	prometheusRepository = "github.com/prometheus/prometheus/cmd/"
	// withoutDiscovery leaves out all discovery but files, which is what a plane uses: that of two dozen clouds is half of Prometheus, and that of
	// Kubernetes brings clients of another version than ours, 231 packages that nothing else needs.
	withoutDiscovery = "remove_all_sd"
)

// Paths says where each binary is.
type Paths map[Binary]string

// Binaries builds what is missing of the named binaries, or of all that a plane needs when none is named, and returns where they
// are. They are kept in cacheDir, or when that is empty in $INFERNO_CACHE, or else in the user's cache directory, below
// a folder whose name changes with the versions they are built from: nothing is built twice, not even by two processes
// at once, and what is there is whole. Building needs the go command and its module proxy. Progress, which may be nil,
// gets a line every few seconds while it builds and nothing when there is nothing to do.
func Binaries(ctx context.Context, cacheDir string, progress io.Writer, names ...Binary) (Paths, error) {
	root, err := cacheRoot(cacheDir)
	if err != nil {
		return nil, err
	}
	if err := checkNames(names); err != nil {
		return nil, err
	}
	if progress == nil {
		progress = io.Discard
	}
	paths := Paths{}
	for _, r := range recipes {
		if !slices.Contains(names, r.binary) && (len(names) > 0 || r.extra) {
			continue
		}
		path, err := r.ensure(ctx, root, progress)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.binary, err)
		}
		paths[r.binary] = path
	}
	return paths, nil
}

// Source returns the folder with the source of a module, and its manifests, in the version that the binary at a path of [Binaries] was built from. Go keeps
// it, and downloads it again where it is gone.
func Source(ctx context.Context, path, module string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
	cmd.Dir = filepath.Dir(path)
	cmd.Env = environment()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var found struct{ Dir string }
	if err == nil {
		err = json.Unmarshal(out, &found)
	}
	if err != nil || found.Dir == "" {
		return "", fmt.Errorf("source of %s: go mod download: %w: %s%s", module, err, bytes.TrimSpace(out), bytes.TrimSpace(stderr.Bytes()))
	}
	return found.Dir, nil
}

// environment of the go command in a module of a binary.
func environment() []string {
	return append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GO111MODULE=on", "GOOS=", "GOARCH=")
}

func checkNames(names []Binary) error {
	var known []string
	for _, r := range recipes {
		known = append(known, string(r.binary))
	}
	var errs []error
	for _, name := range names {
		if !slices.Contains(known, string(name)) {
			errs = append(errs, fmt.Errorf("binary %q is unknown: it must be one of %s", name, strings.Join(known, ", ")))
		}
	}
	return errors.Join(errs...)
}

// cacheRoot returns the absolute path of the folder that holds the modules and their binaries.
func cacheRoot(cacheDir string) (string, error) {
	if cacheDir == "" {
		cacheDir = os.Getenv("INFERNO_CACHE")
	}
	if cacheDir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("nowhere to keep the binaries of the control plane: %w; set INFERNO_CACHE to a folder", err)
		}
		cacheDir = filepath.Join(user, "inferno")
	}
	return filepath.Abs(filepath.Join(cacheDir, "controlplane"))
}

// ensure returns the path of the binary after building it if it is not there.
func (r recipe) ensure(ctx context.Context, root string, progress io.Writer) (string, error) {
	mod, sum, err := r.moduleFiles()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, r.module+"-"+moduleKey(r.module, mod, sum))
	path := filepath.Join(dir, string(r.binary))
	if isExecutable(path) {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := waitForLock(ctx, filepath.Join(dir, "lock"), progress)
	if err != nil {
		return "", err
	}
	defer unlock()
	if isExecutable(path) { // built by the one who held the lock
		return path, nil
	}
	files := map[string][]byte{"go.mod": mod, "go.sum": sum}
	if r.pkg == "." {
		if files["main.go"], err = modules.ReadFile("binaries/" + r.module + ".go.txt"); err != nil {
			return "", err
		}
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return "", err
		}
	}
	return path, r.build(ctx, dir, path, r.ldflags(mod), progress)
}

// moduleKey changes with everything that decides what is built from a module.
func moduleKey(module string, mod, sum []byte) string {
	hash := sha256.New()
	fmt.Fprintf(hash, "%s\n%s\n", mod, sum)
	if program, err := modules.ReadFile("binaries/" + module + ".go.txt"); err == nil {
		hash.Write(program)
	}
	for _, r := range recipes {
		if r.module == module {
			fmt.Fprintf(hash, "%s %s %s %s\n", r.binary, r.pkg, r.tags, r.ldflags(mod))
		}
	}
	return hex.EncodeToString(hash.Sum(nil))[:12]
}

func (r recipe) moduleFiles() (mod, sum []byte, err error) {
	mod, errMod := fs.ReadFile(modules, "binaries/"+r.module+".mod")
	sum, errSum := fs.ReadFile(modules, "binaries/"+r.module+".sum")
	return mod, sum, errors.Join(errMod, errSum)
}

// ldflags drops the symbols nobody debugs with, and stamps the version that the module pins.
func (r recipe) ldflags(mod []byte) string {
	flags := "-s -w"
	if !r.stamped {
		return flags
	}
	version := moduleVersion(mod, "k8s.io/kubernetes")
	major, minor, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	const variable = " -X k8s.io/component-base/version."
	return flags + variable + "gitVersion=" + version + variable + "gitMajor=" + major + variable + "gitMinor=" + minor
}

// build compiles the package in dir, where its go.mod is, and moves the result to path when it is whole.
func (r recipe) build(ctx context.Context, dir, path, ldflags string, progress io.Writer) error {
	if _, err := exec.LookPath("go"); err != nil {
		return fmt.Errorf("building it needs the go command (https://go.dev/dl): %w", err)
	}
	part := path + ".part"
	defer os.Remove(part)
	// Without -trimpath the build shares what it compiles with builds and tests that depend on the same versions.
	args := []string{"build", "-v", "-buildvcs=false", "-o", part, "-ldflags", ldflags}
	if r.tags != "" {
		args = append(args, "-tags", r.tags)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, r.pkg)...)
	cmd.Dir = dir
	cmd.Env = environment()
	if r.static {
		cmd.Env = append(cmd.Env, "CGO_ENABLED=0")
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // go then removes its work folder
	cmd.WaitDelay = 5 * time.Second

	started := time.Now()
	fmt.Fprintf(progress, "building %s, %s: usually %v on two idle cores, once (kept in %s)\n", r.binary, r.what, r.usual, dir)
	output, err := runBuild(cmd, func(compiled, downloaded int) {
		fmt.Fprintf(progress, "building %s: %v, %d packages compiled, %d modules downloaded\n",
			r.binary, time.Since(started).Round(time.Second), compiled, downloaded)
	})
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err != nil {
		return fmt.Errorf("go build %s in %s: %w\n%s", r.pkg, dir, err, output)
	}
	if err := os.Rename(part, path); err != nil {
		return err
	}
	fmt.Fprintf(progress, "built %s in %v\n", r.binary, time.Since(started).Round(time.Second))
	return nil
}

// A build says how far it is this often, and its failure quotes this many lines.
const (
	buildProgressInterval = 10 * time.Second
	buildErrorLines       = 20
)

// runBuild runs go build -v and returns its last lines. It counts the lines that name a compiled package or a download
// and passes the counts to progress now and then.
func runBuild(cmd *exec.Cmd, progress func(compiled, downloaded int)) (tail string, err error) {
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(stderr); scanner.Scan(); {
			lines <- scanner.Text()
		}
		_, _ = io.Copy(io.Discard, stderr) // a line too long for the scanner must not block the build
	}()
	tick := time.NewTicker(buildProgressInterval)
	defer tick.Stop()
	var last []string
	compiled, downloaded := 0, 0
	for {
		select {
		case line, more := <-lines:
			if !more {
				return strings.Join(last, "\n"), cmd.Wait()
			}
			switch {
			case strings.HasPrefix(line, "go: downloading"):
				downloaded++
			case isPackagePath(line):
				compiled++
			}
			last = append(last, line)
			last = last[max(0, len(last)-buildErrorLines):]
		case <-tick.C:
			progress(compiled, downloaded)
		}
	}
}

// isPackagePath tells the package names that go build -v prints from its messages.
func isPackagePath(line string) bool {
	return line != "" && !strings.HasPrefix(line, "#") && !strings.ContainsAny(line, " \t:")
}

// waitForLock takes a lock, and says so when it has to wait for another process.
func waitForLock(ctx context.Context, path string, progress io.Writer) (unlock func(), err error) {
	for said := false; ; said = true {
		unlock, err = lockFile(path)
		if !isLocked(err) {
			return unlock, err
		}
		if !said {
			fmt.Fprintf(progress, "waiting for another process to finish building in %s\n", filepath.Dir(path))
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// moduleVersion returns the version that a module file requires of a module, empty if it does not.
func moduleVersion(mod []byte, module string) string {
	for line := range bytes.Lines(mod) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(string(line)), "require "))
		if len(fields) >= 2 && fields[0] == module {
			return fields[1]
		}
	}
	return ""
}

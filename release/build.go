package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Where the product comes from and under which terms.
const (
	source  = "https://github.com/llm-inferno/inferno"
	licence = "Apache-2.0"
	module  = "github.com/llm-inferno/inferno"
)

// A program of a release.
type program struct {
	name, path, description string
}

var (
	cli = program{"inferno", "./cmd/inferno", "Plans, analyses, demonstrates and examines inferno from the command line"}
	// images are those of the four programs, and of the engine that demonstrations and tests run instead of a model server.
	images = []program{
		cli,
		{"inferno-optimizer", "./cmd/inferno-optimizer", "Plans accelerators, replicas and batch sizes of inference servers"},
		{"inferno-adapter", "./cmd/inferno-adapter", "Serves plans as metrics to HorizontalPodAutoscalers"},
		{"inferno-scheduler", "./cmd/inferno-scheduler", "kube-scheduler with the plugin that places pods by plan"},
		{"inferno-engine", "./test/engine", "A simulated engine with the interface and the metrics of vLLM, for demonstrations and tests"},
	}
)

// A revision is what is built: the release that it is called, and the commit that it is.
type revision struct {
	version, commit string
	time            time.Time
	// root of the repository.
	root string
}

// newRevision reads the commit of the repository that contains dir. A version is v and a semantic version.
func newRevision(ctx context.Context, dir, version string) (revision, error) {
	if !strings.HasPrefix(version, "v") || len(strings.Split(version, ".")) < 3 {
		return revision{}, fmt.Errorf("version %q is not allowed, must be like v0.2.0", version)
	}
	root, err := output(ctx, dir, "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return revision{}, err
	}
	commit, errCommit := output(ctx, dir, "git", "rev-parse", "HEAD")
	seconds, errTime := output(ctx, dir, "git", "show", "-s", "--format=%ct", "HEAD")
	if given := os.Getenv("SOURCE_DATE_EPOCH"); given != "" {
		seconds, errTime = given, nil
	}
	n, errNumber := strconv.ParseInt(seconds, 10, 64)
	return revision{version: version, commit: commit, time: time.Unix(n, 0).UTC(), root: root}, errors.Join(errCommit, errTime, errNumber)
}

// platform as Go names it.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "-" + p.arch }

// build the program for a platform into dir/OS-ARCH, static and stripped, without anything of this machine in it, and return the file.
func (r revision) build(ctx context.Context, dir string, p program, on platform) (string, error) {
	file := filepath.Join(dir, on.String(), p.name)
	if on.os == "windows" {
		file += ".exe"
	}
	flags, err := r.linkerFlags(ctx)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags="+flags, "-o", file, p.path)
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.root, os.Stderr, os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOOS="+on.os, "GOARCH="+on.arch)
	fmt.Fprintf(os.Stderr, "building %s for %s\n", p.name, on)
	return file, cmd.Run()
}

// linkerFlags stamp the release into inferno's programs, and into what they have of Kubernetes the version that it is.
func (r revision) linkerFlags(ctx context.Context) (string, error) {
	kubernetes, err := output(ctx, r.root, "go", "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes")
	if err != nil {
		return "", err
	}
	parts := strings.Split(strings.TrimPrefix(kubernetes, "v"), ".")
	const library = "k8s.io/component-base/version."
	return strings.Join([]string{
		"-s -w -buildid=",
		"-X " + module + "/version.release=" + r.version, "-X " + module + "/version.revision=" + r.commit[:12],
		"-X " + library + "gitVersion=" + kubernetes, "-X " + library + "gitMajor=" + parts[0], "-X " + library + "gitMinor=" + parts[1],
	}, " "), nil
}

// output of a command without the newline at its end.
func output(ctx context.Context, dir, command string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, command, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return "", fmt.Errorf("%s %s: %w", command, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

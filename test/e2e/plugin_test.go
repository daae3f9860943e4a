package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// asPlugin runs the command line as kubectl does: found on the path by its name, with kubectl's configuration, and completed by it.
func asPlugin(s *system) {
	kubectl, err := s.Plane.Kubectl(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	dir := s.t.TempDir()
	program, err := filepath.Abs(filepath.Join(programs, "inferno"))
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil { // only the cluster's programs were built
		if out, err := exec.CommandContext(s.t.Context(), "go", "build", "-o", program, "../../cmd/inferno").CombinedOutput(); err != nil {
			s.t.Fatalf("%v: %s", err, out)
		}
	}
	for _, name := range []string{"kubectl-inferno", "kubectl_complete-inferno"} {
		if err := os.Symlink(program, filepath.Join(dir, name)); err != nil {
			s.t.Fatal(err)
		}
	}
	ask := func(args ...string) string {
		cmd := exec.CommandContext(s.t.Context(), kubectl, args...)
		cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "KUBECONFIG="+s.Plane.AdminKubeconfig())
		out, err := cmd.CombinedOutput()
		if err != nil {
			s.t.Errorf("kubectl %q: %v: %s", args, err, out)
		}
		return string(out)
	}
	context := strings.TrimSpace(ask("config", "current-context"))
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"plugin", "list"}, filepath.Join(dir, "kubectl-inferno")},
		{[]string{"inferno", "get", "-n", namespace}, "chat"},
		{[]string{"inferno", "get", "servers", "chat", "-n", namespace, "--context", context, "-o", "json"}, `"kind": "Server"`},
		{[]string{"inferno", "get", "estimates"}, "OBSERVATIONS"},
		{[]string{"inferno", "explain", "chat", "-n", namespace}, "chat"},
		{[]string{"inferno", "get", "--help"}, "kubectl inferno get"},
		{[]string{"__complete", "inferno", "get", ""}, "accelerators"},
		{[]string{"__complete", "inferno", "get", "servers", "-n", namespace, "ch"}, "chat"},
	} {
		if out := ask(c.args...); !strings.Contains(out, c.want) {
			s.t.Errorf("kubectl %q does not say %q: %s", c.args, c.want, out)
		}
	}
}

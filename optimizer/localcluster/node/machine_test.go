package node

import (
	"os"
	"runtime"
	"strings"
	"testing"
)

// All that is missing is said at once, with what installs it.
func TestCheckSaysAllThatIsMissing(t *testing.T) {
	if runtime.GOOS != "linux" {
		if err := Check(); err == nil || !strings.Contains(err.Error(), "Linux") {
			t.Errorf("%v, want an error that asks for Linux", err)
		}
		return
	}
	t.Setenv("PATH", t.TempDir())
	err := Check()
	if err == nil {
		t.Fatal("nothing is missing where nothing is on the PATH")
	}
	for _, want := range []string{"containerd", "runc", "nft", "apt-get install"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	if os.Geteuid() != 0 && !strings.Contains(err.Error(), "root") {
		t.Errorf("%q does not ask for root", err)
	}
}

func TestBelow(t *testing.T) {
	for path, want := range map[string]bool{root: true, root + "/kubelet/pods": true, root + "2": false, "/": false, "/var/lib": false} {
		if below(path, root) != want {
			t.Errorf("%s below %s: want %t", path, root, want)
		}
	}
}

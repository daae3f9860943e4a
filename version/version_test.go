package version

import "testing"

func TestString(t *testing.T) {
	defer func() { release, revision = "", "" }()
	for _, c := range []struct{ release, revision, want string }{
		{"v0.2.0", "1a2b3c4", "v0.2.0 (1a2b3c4)"}, {"v0.2.0", "", "v0.2.0"},
	} {
		release, revision = c.release, c.revision
		if got := String(); got != c.want {
			t.Errorf("release %q, revision %q: %q, want %q", c.release, c.revision, got, c.want)
		}
	}
	release, revision = "", ""
	if String() == "" {
		t.Error("a program that nobody stamped has no version")
	}
}

package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto"
	"encoding/json"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/release/chart"
	"github.com/llm-inferno/inferno/release/sign"
)

// small is a revision of a root that has all that a release needs, and of which only the engine is built, for one platform.
func small(t *testing.T) (revision, *releaseOptions) {
	t.Helper()
	r := here(t)
	root := t.TempDir()
	for _, part := range []string{"go.mod", "go.sum", "LICENSE", "manifests", "optimizer", "test", "version"} {
		if err := os.Symlink(filepath.Join(r.root, part), filepath.Join(root, part)); err != nil {
			t.Fatal(err)
		}
	}
	changelog := "# Changes\n\n## v2.0.0\n\nnot this\n\n## v1.2.3 (2026-01-01)\n\n- All is new.\n\n## v1.0.0\n\n- Old.\n"
	if err := os.WriteFile(filepath.Join(root, "CHANGELOG.md"), []byte(changelog), 0o600); err != nil {
		t.Fatal(err)
	}
	r.root = root
	whole := cli
	cli = engine
	t.Cleanup(func() { cli = whole })
	o := &releaseOptions{platforms: "linux/amd64"}
	o.version, o.out, o.only, o.architectures = r.version, filepath.Join(t.TempDir(), r.version), engine.name, "amd64"
	return r, o
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	private, _, err := sign.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(keyVariable, string(private))
	key, err := releaseKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func read(t *testing.T, parts ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A release is whole, signed, in the registry, and the same when it is made again.
func TestRelease(t *testing.T) {
	r, o := small(t)
	key := newKey(t)
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	o.registry, o.insecure = strings.TrimPrefix(server.URL, "http://")+"/inferno", true
	if err := o.make(t.Context(), r, key); err != nil {
		t.Fatal(err)
	}
	if notes := string(read(t, o.out, "NOTES.md")); notes != "- All is new.\n" {
		t.Errorf("notes %q", notes)
	}
	for _, tag := range []string{"inferno-engine:v1.2.3", "charts/inferno:1.2.3"} {
		reference, err := name.ParseReference(o.registry+"/"+tag, name.Insecure)
		if err != nil {
			t.Fatal(err)
		}
		got, err := remote.Get(reference)
		if err != nil {
			t.Fatal(err)
		}
		signature, err := name.ParseReference(reference.Context().Name()+":"+sign.Tag(got.Digest), name.Insecure)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := remote.Image(signature); err != nil {
			t.Errorf("signature of %s: %v", tag, err)
		}
		if !strings.Contains(string(read(t, o.out, "images.txt")), got.Digest.String()) {
			t.Errorf("images.txt lacks the digest of %s", tag)
		}
	}
	checkVerifies(t, o.out)
	checkChart(t, filepath.Join(o.out, "inferno-1.2.3.tgz"))
	checkManifests(t, o.out)

	first := read(t, o.out, "checksums.txt")
	_, again := small(t)
	again.registry, again.insecure = o.registry, true
	if err := again.make(t.Context(), r, key); err != nil {
		t.Fatal(err)
	}
	if second := read(t, again.out, "checksums.txt"); !bytes.Equal(first, second) {
		t.Errorf("the second release differs:\n%s\n%s", first, second)
	}
	if !bytes.Equal(read(t, o.out, "images.txt"), read(t, again.out, "images.txt")) {
		t.Error("the second release has other images")
	}
}

// checkVerifies also damages the release.
func checkVerifies(t *testing.T, dir string) {
	t.Helper()
	args := []string{"-dir=" + dir, "-key=" + filepath.Join(dir, "inferno.pub")}
	if err := runVerify(t.Context(), args); err != nil {
		t.Error(err)
	}
	for _, file := range []string{"crds.yaml", "checksums.txt"} {
		data := read(t, dir, file)
		if err := os.WriteFile(filepath.Join(dir, file), append(bytes.Clone(data), '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := runVerify(t.Context(), args); err == nil {
			t.Errorf("%s was changed, and the release verifies", file)
		}
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var envelope sign.Envelope
	if err := json.Unmarshal(read(t, dir, "provenance.intoto.jsonl"), &envelope); err != nil || len(envelope.Signatures) != 1 {
		t.Errorf("provenance: %v", err)
	}
}

// checkChart loads the archive as Helm does.
func checkChart(t *testing.T, file string) {
	t.Helper()
	c, err := loader.LoadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if c.Metadata.Version != "1.2.3" || c.Metadata.AppVersion != "v1.2.3" || len(c.Templates) < 10 || len(c.Schema) == 0 {
		t.Errorf("chart %s of %s with %d templates", c.Metadata.Version, c.Metadata.AppVersion, len(c.Templates))
	}
}

// checkManifests that those without Helm apply.
func checkManifests(t *testing.T, dir string) {
	t.Helper()
	everything := string(read(t, dir, "inferno.yaml"))
	for part, n := range map[string]int{"kind: CustomResourceDefinition\n": 6, "kind: Deployment\n": 3, "inferno-optimizer:v1.2.3\n": 1, "kind: Optimizer\nmeta": 0, "kind: APIService\n": 0} {
		if got := strings.Count(everything, part); got != n {
			t.Errorf("inferno.yaml has %d times %q, want %d", got, part, n)
		}
	}
	if !strings.Contains(string(read(t, dir, "optimizer.yaml")), "kind: Optimizer\n") {
		t.Error("optimizer.yaml has no Optimizer")
	}
	if got := strings.Count(string(read(t, dir, "external-metrics.yaml")), "kind: APIService\n"); got != 1 {
		t.Errorf("%s has %d APIServices", "external-metrics.yaml", got)
	}
	var plugin struct {
		Spec struct {
			Version   string
			Platforms []struct{ URI, SHA256, Bin string }
		}
	}
	if err := yaml.Unmarshal(read(t, dir, "krew-inferno.yaml"), &plugin); err != nil {
		t.Fatal(err)
	}
	p := plugin.Spec.Platforms[0]
	if plugin.Spec.Version != "v1.2.3" || p.Bin != "inferno" || sum(read(t, dir, filepath.Base(p.URI))) != p.SHA256 {
		t.Errorf("%+v", plugin)
	}
}

func TestWithoutAKeyNothingIsSigned(t *testing.T) {
	r, o := small(t)
	t.Setenv(keyVariable, "")
	key, err := releaseKey()
	if err != nil || key != nil {
		t.Fatalf("key %v, %v", key, err)
	}
	if err := o.make(t.Context(), r, key); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"checksums.txt.sig", "provenance.intoto.jsonl", "signatures"} {
		if _, err := os.Stat(filepath.Join(o.out, file)); err == nil {
			t.Errorf("%s was written", file)
		}
	}
	t.Setenv(keyVariable, "not a key")
	if _, err := releaseKey(); err == nil || !strings.Contains(err.Error(), keyVariable) {
		t.Errorf("error %v", err)
	}
}

// The chart of the release before is kept, so that make test-node upgrades from it and not from the present one under another version. A release has its
// date in the changelog; the first section is of the one that is being made.
func TestTheChartOfTheReleaseBeforeIsKept(t *testing.T) {
	last := released(read(t, "..", "CHANGELOG.md"))
	if last == "" {
		t.Skip("nothing was released yet")
	}
	c, err := loader.LoadFile(filepath.Join("..", previousChart))
	if err != nil {
		t.Fatalf("%s was released: keep its chart, %v", last, err)
	}
	if c.Metadata.AppVersion != last {
		t.Errorf("%s is the chart of %s, and %s was released after it", previousChart, c.Metadata.AppVersion, last)
	}
}

// released is the last release before the first section of the changelog; empty for none.
func released(changelog []byte) string {
	for i, m := range regexp.MustCompile(`(?m)^## (v\S+)(?: \(([0-9-]+)\))?`).FindAllSubmatch(changelog, -1) {
		if i > 0 && len(m[2]) > 0 {
			return string(m[1])
		}
	}
	return ""
}

func TestReleased(t *testing.T) {
	for changelog, want := range map[string]string{
		"## v0.2.0 (unreleased)\n\n## v0.1.0\n": "", "## v0.2.0 (2027-01-02)\n\n## v0.1.0\n": "",
		"## v0.3.0 (unreleased)\n\n- x\n\n## v0.2.0 (2027-01-02)\n\n## v0.1.0 (2026-01-01)\n": "v0.2.0",
	} {
		if got := released([]byte(changelog)); got != want {
			t.Errorf("%q: %q was released, want %q", changelog, got, want)
		}
	}
}

func TestNotes(t *testing.T) {
	for _, changelog := range []string{"", "## v1.0.0\n\ntext\n", "## v1.2.3\n\n## v1.0.0\ntext\n"} {
		if _, err := notes([]byte(changelog), "v1.2.3"); err == nil {
			t.Errorf("%q: no error", changelog)
		}
	}
	if own, err := os.ReadFile("../CHANGELOG.md"); err != nil || !bytes.Contains(own, []byte("\n## v")) {
		t.Errorf("our own: %v", err)
	}
}

func TestArchives(t *testing.T) {
	at := time.Unix(1e9, 0).UTC()
	members := []member{{"inferno", []byte("binary"), 0o755}, {"LICENSE", []byte("terms"), 0o644}}
	packed, err := archive(false, members, at)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	header, err := tar.NewReader(inner).Next()
	if err != nil || header.Name != "inferno" || header.Mode != 0o755 || !header.ModTime.Equal(at) {
		t.Errorf("%+v, %v", header, err)
	}
	if packed, err = archive(true, members, at); err != nil {
		t.Fatal(err)
	}
	reader, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil || len(reader.File) != 2 || reader.File[0].Mode() != 0o755 {
		t.Errorf("%v", err)
	}
}

// The chart of a registry is what helm pull reads: a manifest, its metadata, one archive.
func TestChartImage(t *testing.T) {
	packed, err := chart.Pack("../"+chartDir, "v1.2.3", time.Unix(1e9, 0))
	if err != nil {
		t.Fatal(err)
	}
	image, err := packed.Image(time.Unix(1e9, 0))
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.RawConfigFile()
	if err != nil || !strings.Contains(string(config), `"version":"1.2.3"`) {
		t.Errorf("%s, %v", config, err)
	}
	manifest, err := image.Manifest()
	if err != nil || string(manifest.Layers[0].MediaType) != "application/vnd.cncf.helm.chart.content.v1.tar+gzip" {
		t.Errorf("%+v, %v", manifest, err)
	}
}

package oci

import (
	"archive/tar"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// built is an index of two platforms with these binaries.
func built(t *testing.T, amd64, arm64 string) v1.ImageIndex {
	t.Helper()
	dir := t.TempDir()
	var programs []Program
	for architecture, content := range map[string]string{"amd64": amd64, "arm64": arm64} {
		file := filepath.Join(dir, architecture)
		if err := os.WriteFile(file, []byte(content), 0o700); err != nil { // another mode and time than in the image
			t.Fatal(err)
		}
		programs = append(programs, Program{Name: "inferno-x", Architecture: architecture, File: file, Licences: []byte("terms of others")})
	}
	slices.SortFunc(programs, func(a, b Program) int { return strings.Compare(a.Architecture, b.Architecture) })
	base, err := Base(Certificates(), []byte("terms"))
	if err != nil {
		t.Fatal(err)
	}
	index, err := Index(base, programs, Labels{Title: "inferno-x", Source: "https://example.com", Revision: "abc", Version: "v1.2.3", Licence: "Apache-2.0", Created: time.Unix(1e9, 0)})
	if err != nil {
		t.Fatal(err)
	}
	return index
}

func digest(t *testing.T, index v1.ImageIndex) v1.Hash {
	t.Helper()
	d, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestEqualInputsGiveEqualDigests(t *testing.T) {
	first, second, other := built(t, "a", "b"), built(t, "a", "b"), built(t, "a", "c")
	if digest(t, first) != digest(t, second) {
		t.Error("two builds of the same differ")
	}
	if digest(t, first) == digest(t, other) {
		t.Error("another program is the same image")
	}
}

// What a container engine finds in an image.
func TestImagesRunAsNobody(t *testing.T) {
	index := built(t, "a", "b")
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, m := range manifest.Manifests {
		platforms = append(platforms, m.Platform.String())
		image, err := index.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.Config.User != "65532:65532" || !slices.Equal(config.Config.Entrypoint, []string{"/inferno-x"}) || config.Architecture != m.Platform.Architecture {
			t.Errorf("%s: user %q, entrypoint %q", m.Platform, config.Config.User, config.Config.Entrypoint)
		}
		for label, want := range map[string]string{"source": "https://example.com", "revision": "abc", "licenses": "Apache-2.0", "version": "v1.2.3"} {
			if got := config.Config.Labels["org.opencontainers.image."+label]; got != want {
				t.Errorf("label %s: %q, want %q", label, got, want)
			}
		}
		files(t, image)
	}
	if !slices.Equal(platforms, []string{"linux/amd64", "linux/arm64"}) {
		t.Errorf("platforms %v", platforms)
	}
}

// files of an image: the program can be executed by anybody, there is no shell, and /tmp is everybody's.
func files(t *testing.T, image v1.Image) {
	t.Helper()
	modes := map[string]int64{}
	content := mutate.Extract(image)
	defer content.Close()
	for archive := tar.NewReader(content); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		modes[strings.TrimSuffix(header.Name, "/")] = header.Mode
	}
	want := map[string]int64{
		"inferno-x": 0o755, "etc": 0o755, "etc/passwd": 0o644, "etc/group": 0o644, "etc/ssl": 0o755, "etc/ssl/certs": 0o755,
		"etc/ssl/certs/ca-certificates.crt": 0o644, "LICENSE": 0o644, "THIRD-PARTY-LICENSES": 0o644, "home": 0o755, "home/nonroot": 0o700, "tmp": 0o1777,
	}
	for name, mode := range modes {
		if want[name] != mode {
			t.Errorf("%s has mode %o, want %o", name, mode, want[name])
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}

// unpacks an image: each layer has the digest that the manifest says, and unpacked that of the configuration.
func unpacks(t *testing.T, index v1.ImageIndex, name v1.Hash) {
	t.Helper()
	image, err := index.Image(name)
	if err != nil {
		t.Fatal(err)
	}
	manifest, errManifest := image.Manifest()
	config, errConfig := image.ConfigFile()
	layers, errLayers := image.Layers()
	if err := errors.Join(errManifest, errConfig, errLayers); err != nil {
		t.Fatal(err)
	}
	for i, l := range layers {
		for want, open := range map[v1.Hash]func() (io.ReadCloser, error){manifest.Layers[i].Digest: l.Compressed, config.RootFS.DiffIDs[i]: l.Uncompressed} {
			content, err := open()
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := v1.SHA256(content)
			if err != nil || got != want {
				t.Errorf("layer %d: %v, digest %v, want %v", i, err, got, want)
			}
			content.Close()
		}
	}
}

func TestCertificates(t *testing.T) {
	if n := strings.Count(string(Certificates()), "BEGIN CERTIFICATE"); n < 100 {
		t.Errorf("%d authorities, Mozilla has more than 100", n)
	}
}

// A layout and a registry hold what was written, under its tag.
func TestStore(t *testing.T) {
	index := built(t, "a", "b")
	dir := filepath.Join(t.TempDir(), "layout")
	for range 2 { // the second replaces the first
		if err := WriteIndex(dir, "v1.2.3", index); err != nil {
			t.Fatal(err)
		}
	}
	read, err := ReadIndex(dir, "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	if digest(t, read) != digest(t, index) {
		t.Error("the layout holds another index")
	}
	if err := validate.Index(read, validate.Fast); err != nil { // it knows no zstd
		t.Error(err)
	}
	manifest, err := read.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range manifest.Manifests {
		unpacks(t, read, m.Digest)
	}
	if _, err := ReadIndex(dir, "v9"); err == nil {
		t.Error("the layout holds a tag that nobody wrote")
	}
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	reference := strings.TrimPrefix(server.URL, "http://") + "/inferno/inferno-x:v1.2.3"
	if err := Push(reference, true, read); err != nil {
		t.Fatal(err)
	}
	parsed, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	pulled, err := remote.Index(parsed)
	if err != nil {
		t.Fatal(err)
	}
	if digest(t, pulled) != digest(t, index) {
		t.Error("the registry holds another index")
	}
	if err := Push("no/Such Name", true, read); err == nil {
		t.Error("a bad reference is accepted")
	}
}

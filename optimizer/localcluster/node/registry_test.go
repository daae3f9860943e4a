package node

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// layout writes an OCI layout of one image with one layer under a tag, and returns what its manifest and its layer are.
func layout(t *testing.T, dir, name, tag string) (manifest, layer []byte) {
	t.Helper()
	blobs := filepath.Join(dir, name, "blobs", "sha256")
	write := func(file string, data []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put := func(data []byte, mediaType string) descriptor {
		write(filepath.Join(blobs, strings.TrimPrefix(digestOf(data), "sha256:")), data)
		return descriptor{MediaType: mediaType, Digest: digestOf(data), Size: int64(len(data))}
	}
	marshal := func(v any) []byte {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	layer = []byte("the layer of " + name)
	manifest = marshal(map[string]any{
		"schemaVersion": 2, "mediaType": mediaManifest, "config": put([]byte("{}"), mediaConfig), "layers": []descriptor{put(layer, mediaLayer)},
	})
	d := put(manifest, mediaManifest)
	d.Annotations = map[string]string{"org.opencontainers.image.ref.name": tag}
	write(filepath.Join(dir, name, "index.json"), marshal(map[string]any{"schemaVersion": 2, "manifests": []descriptor{d}}))
	return manifest, layer
}

func program(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pause")
	if err := os.WriteFile(file, []byte("a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

// What a container runtime asks is answered, byte by byte what the layout holds, whatever registry it believes to ask.
func TestImagesArePulled(t *testing.T) {
	dir := t.TempDir()
	manifest, layer := layout(t, dir, "inferno-engine", "v1")
	r, err := newRegistry(dir, program(t))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r)
	defer server.Close()
	for _, c := range []struct {
		method, path string
		status       int
		want         []byte
		mediaType    string
	}{
		{"GET", "/v2/", 200, nil, ""},
		{"GET", "/v2/llm-inferno/inferno-engine/manifests/v1?ns=ghcr.io", 200, manifest, mediaManifest},
		{"GET", "/v2/a/b/c/inferno-engine/manifests/v1", 200, manifest, mediaManifest},
		{"HEAD", "/v2/inferno-engine/manifests/v1", 200, nil, mediaManifest},
		{"GET", "/v2/inferno-engine/manifests/" + digestOf(manifest), 200, manifest, mediaManifest},
		{"GET", "/v2/inferno-engine/blobs/" + digestOf(layer), 200, layer, "application/octet-stream"},
		{"GET", "/v2/inferno-engine/manifests/v2", 404, nil, ""},
		{"GET", "/v2/inferno-optimizer/manifests/v1", 404, nil, ""},
		{"GET", "/v2/inferno-engine/blobs/sha256:0", 404, nil, ""},
		{"GET", "/v2/inferno-engine/blobs/../../../etc/passwd", 404, nil, ""},
		{"GET", "/v2/inferno-engine/tags/list", 404, nil, ""},
		{"PUT", "/v2/inferno-engine/manifests/v1", 405, nil, ""},
		{"POST", "/v2/inferno-engine/blobs/uploads/", 405, nil, ""},
	} {
		request, err := http.NewRequest(c.method, server.URL+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || response.Body.Close() != nil {
			t.Fatal(err)
		}
		if response.StatusCode != c.status || (c.want != nil && !bytes.Equal(body, c.want)) || (c.mediaType != "" && response.Header.Get("Content-Type") != c.mediaType) {
			t.Errorf("%s %s: status %d, %s, %q; want %d, %s, %q", c.method, c.path, response.StatusCode, response.Header.Get("Content-Type"), body, c.status, c.mediaType, c.want)
		}
	}
}

// The image of a program holds the program, and its digests are those of what it consists of.
func TestProgramBecomesAnImage(t *testing.T) {
	r, err := newRegistry("", program(t))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	if err := json.Unmarshal(r.blobs[r.tags["pause:1"].Digest].data, &manifest); err != nil || len(manifest.Layers) != 1 {
		t.Fatalf("manifest %+v: %v", manifest, err)
	}
	z, err := gzip.NewReader(bytes.NewReader(r.blobs[manifest.Layers[0].Digest].data))
	if err != nil {
		t.Fatal(err)
	}
	archive, err := io.ReadAll(z)
	if err != nil || !bytes.Contains(archive, []byte("a program")) {
		t.Errorf("the layer holds %q: %v", archive, err)
	}
	if config := r.blobs[manifest.Config.Digest].data; !bytes.Contains(config, []byte(digestOf(archive))) || !bytes.Contains(config, []byte("/pause")) {
		t.Errorf("the configuration is %s", config)
	}
}

func TestTag(t *testing.T) {
	dir := t.TempDir()
	layout(t, dir, "inferno-engine", "v1")
	if tag, err := Tag(dir, "inferno-engine"); tag != "v1" || err != nil {
		t.Errorf("%q, %v", tag, err)
	}
	if _, err := Tag(dir, "inferno-optimizer"); err == nil || !strings.Contains(err.Error(), "make images") {
		t.Errorf("an image that was not built: %v, want an error that says how it is", err)
	}
	if _, err := newRegistry(t.TempDir(), program(t)); err == nil || !strings.Contains(err.Error(), "make images") {
		t.Errorf("a folder without images: %v, want an error that says what makes them", err)
	}
}

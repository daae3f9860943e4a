package node

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// pauseImage is what holds the namespaces of a pod.
const pauseImage = "inferno-node/pause:1"

// Media types of the OCI image specification.
const (
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaConfig   = "application/vnd.oci.image.config.v1+json"
	mediaLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// registry serves OCI layouts (image-layout.md of the OCI image specification): what pulling needs of the OCI distribution specification, and
// nothing to write with. It goes by the last part of a name and by the tag, so that an image is found whatever registry it is asked of.
type registry struct {
	tags  map[string]descriptor // name:tag
	blobs map[string]blob       // by digest
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// blob is in a file or, where that is empty, in memory.
type blob struct {
	file, mediaType string
	data            []byte
}

// newRegistry holds the layouts in the folders of one, and the program that pauses. Without layouts that program is all.
func newRegistry(layouts, pause string) (*registry, error) {
	r := &registry{tags: map[string]descriptor{}, blobs: map[string]blob{}}
	if err := r.addProgram(pauseImage, pause); err != nil {
		return nil, err
	}
	indexes, err := filepath.Glob(filepath.Join(layouts, "*", "index.json"))
	if err != nil || layouts == "" {
		return r, err
	}
	for _, file := range indexes {
		if err := r.addLayout(filepath.Dir(file)); err != nil {
			return nil, fmt.Errorf("image %s: %w", filepath.Dir(file), err)
		}
	}
	if len(indexes) == 0 {
		return nil, fmt.Errorf("no images in %s: it must have an OCI layout in a folder for each, as make images writes into out/images", layouts)
	}
	return r, nil
}

// Tag of an image in the layouts.
func Tag(layouts, name string) (string, error) {
	r := &registry{tags: map[string]descriptor{}, blobs: map[string]blob{}}
	if err := r.addLayout(filepath.Join(layouts, name)); err != nil {
		return "", fmt.Errorf("image %s in %s: %w; make images IMAGES_ARCHITECTURES=%s builds the images", name, layouts, err, runtime.GOARCH)
	}
	for tag := range r.tags {
		return strings.TrimPrefix(tag, name+":"), nil // a layout of ours has one
	}
	return "", fmt.Errorf("image %s in %s has no tag", name, layouts)
}

func (r *registry) addLayout(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		return err
	}
	var index struct{ Manifests []descriptor }
	if err := json.Unmarshal(data, &index); err != nil {
		return err
	}
	for _, d := range index.Manifests {
		if tag := d.Annotations["org.opencontainers.image.ref.name"]; tag != "" {
			r.tags[filepath.Base(dir)+":"+tag] = d
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	for _, file := range files {
		digest := "sha256:" + filepath.Base(file)
		r.blobs[digest] = blob{file: file, mediaType: mediaTypeOf(file)}
	}
	return err
}

// mediaTypeOf a manifest or an index says it itself; nothing else is asked for it.
func mediaTypeOf(file string) string {
	if info, err := os.Stat(file); err != nil || info.Size() > 1<<20 {
		return ""
	}
	data, err := os.ReadFile(file)
	var typed struct{ MediaType string }
	if err != nil || json.Unmarshal(data, &typed) != nil {
		return ""
	}
	return typed.MediaType
}

// addProgram makes an image of one static program.
func (r *registry) addProgram(name, file string) error {
	program, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var archive, layer bytes.Buffer
	t := tar.NewWriter(&archive)
	if err := t.WriteHeader(&tar.Header{Name: filepath.Base(file), Mode: 0o755, Size: int64(len(program))}); err != nil {
		return err
	}
	if _, err := t.Write(program); err != nil {
		return err
	}
	if err := t.Close(); err != nil {
		return err
	}
	z := gzip.NewWriter(&layer)
	if _, err := z.Write(archive.Bytes()); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"os": "linux", "architecture": runtime.GOARCH,
		"config": map[string]any{"Entrypoint": []string{"/" + filepath.Base(file)}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digestOf(archive.Bytes())}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": mediaManifest, "config": r.add(mediaConfig, config), "layers": []descriptor{r.add(mediaLayer, layer.Bytes())},
	})
	if err != nil {
		return err
	}
	r.tags[path.Base(name)] = r.add(mediaManifest, manifest)
	return nil
}

func (r *registry) add(mediaType string, data []byte) descriptor {
	d := descriptor{MediaType: mediaType, Digest: digestOf(data), Size: int64(len(data))}
	r.blobs[d.Digest] = blob{mediaType: mediaType, data: data}
	return d
}

func digestOf(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

// ServeHTTP answers GET and HEAD of /v2/, /v2/NAME/manifests/TAG or DIGEST, and /v2/NAME/blobs/DIGEST.
func (r *registry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodGet && request.Method != http.MethodHead {
		http.Error(w, "this registry can only be read", http.StatusMethodNotAllowed)
		return
	}
	rest, reference := path.Split(strings.TrimPrefix(request.URL.Path, "/v2/"))
	if rest == "" && reference == "" {
		return
	}
	rest, kind := path.Split(strings.TrimSuffix(rest, "/"))
	digest := reference
	if kind == "manifests" && !strings.HasPrefix(reference, "sha256:") {
		digest = r.tags[path.Base(strings.TrimSuffix(rest, "/"))+":"+reference].Digest
	}
	b, known := r.blobs[digest]
	if !known || (kind != "manifests" && kind != "blobs") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, `{"errors": [{"code": "MANIFEST_UNKNOWN", "message": %q}]}`, request.URL.Path+" is not here")
		return
	}
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("Content-Type", "application/octet-stream")
	if kind == "manifests" {
		w.Header().Set("Content-Type", b.mediaType)
	}
	if b.file != "" {
		http.ServeFile(w, request, b.file)
		return
	}
	http.ServeContent(w, request, "", time.Time{}, bytes.NewReader(b.data))
}

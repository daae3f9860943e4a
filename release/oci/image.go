// Package oci builds container images of static programs without a container engine: a layer with what every program needs, a layer with the
// program, one index for all platforms. Equal inputs give equal digests, on every machine.
package oci

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

// User that the programs run as, by number, so that a kubelet can see that it is not root.
const User = "65532:65532"

// Labels of an image, as OCI names them.
type Labels struct {
	Title, Description string
	// Source is the address of the repository, Revision the commit, Version the release, Licence an SPDX expression.
	Source, Revision, Version, Licence string
	// Created is the time of the commit: the time of the build would make every build another image.
	Created time.Time
}

func (l Labels) annotations() map[string]string {
	const prefix = "org.opencontainers.image."
	return map[string]string{
		prefix + "title": l.Title, prefix + "description": l.Description, prefix + "source": l.Source, prefix + "revision": l.Revision,
		prefix + "version": l.Version, prefix + "licenses": l.Licence, prefix + "created": l.Created.UTC().Format(time.RFC3339),
	}
}

// A Program is the binary of an image for one platform of Linux.
type Program struct {
	// Name in the image, at its root.
	Name string
	// Architecture as Go names it.
	Architecture string
	// File of the binary.
	File string
	// Licences of others that must go with it.
	Licences []byte
}

// Base is the layer under every program: a user, certificates to trust (PEM), the licence, and a directory to write to where a volume is
// mounted on it.
func Base(certificates, licence []byte) (v1.Layer, error) {
	return layer([]entry{
		{name: "etc/passwd", data: []byte("root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n")},
		{name: "etc/group", data: []byte("root:x:0:\nnonroot:x:65532:\n")},
		{name: "etc/ssl/certs/ca-certificates.crt", data: certificates},
		{name: "LICENSE", data: licence},
		{name: "home/nonroot/", owner: 65532, mode: 0o700},
		{name: "tmp/", mode: 0o1777},
	})
}

// Index of the program for all platforms given, on the base.
func Index(base v1.Layer, programs []Program, labels Labels) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range programs {
		image, err := image(base, p, labels)
		if err != nil {
			return nil, fmt.Errorf("image of %s for %s: %w", p.Name, p.Architecture, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: p.Architecture}},
		})
	}
	annotated, is := mutate.Annotations(index, labels.annotations()).(v1.ImageIndex)
	if !is {
		return nil, errors.New("an index with annotations is no index")
	}
	return annotated, nil
}

func image(base v1.Layer, p Program, labels Labels) (v1.Image, error) {
	binary, err := os.ReadFile(p.File)
	if err != nil {
		return nil, err
	}
	program, err := layer([]entry{{name: p.Name, data: binary, mode: 0o755}, {name: "THIRD-PARTY-LICENSES", data: p.Licences}})
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	created := v1.Time{Time: labels.Created.UTC()}
	for _, l := range []v1.Layer{base, program} {
		if image, err = mutate.Append(image, mutate.Addendum{Layer: l, History: v1.History{Created: created, CreatedBy: "inferno/release"}}); err != nil {
			return nil, err
		}
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = "linux", p.Architecture, created
	file.Config = v1.Config{
		Entrypoint: []string{"/" + p.Name}, User: User, WorkingDir: "/", Labels: labels.annotations(),
		Env: []string{"PATH=/", "HOME=/home/nonroot", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"},
	}
	return mutate.ConfigFile(image, file)
}

// An entry of a layer: a file, or a directory where the name ends with a slash. Directories above it are made as needed.
type entry struct {
	name  string
	data  []byte
	mode  int64
	owner int
}

// layer of the entries, with all times at zero. It is packed with zstd, which is a tenth smaller than gzip at its best: containerd reads it from 1.5 on, CRI-O and
// podman do, and Docker from 23 on.
func layer(entries []entry) (v1.Layer, error) {
	var archive bytes.Buffer
	out := tar.NewWriter(&archive)
	made := map[string]bool{".": true, "/": true}
	for _, e := range entries {
		if err := parents(out, made, path.Dir(path.Clean(e.name))); err != nil {
			return nil, err
		}
		if err := write(out, e); err != nil {
			return nil, err
		}
	}
	if err := out.Close(); err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	compressor, err := zstd.NewWriter(&packed, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	if _, err := archive.WriteTo(compressor); err != nil {
		return nil, err
	}
	if err := compressor.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayerZStd))
}

func parents(out *tar.Writer, made map[string]bool, dir string) error {
	if made[dir] {
		return nil
	}
	made[dir] = true
	if err := parents(out, made, path.Dir(dir)); err != nil {
		return err
	}
	return write(out, entry{name: dir + "/", mode: 0o755})
}

func write(out *tar.Writer, e entry) error {
	header := &tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.data)), Uid: e.owner, Gid: e.owner, Typeflag: tar.TypeReg, Format: tar.FormatPAX}
	if e.name[len(e.name)-1] == '/' {
		header.Typeflag = tar.TypeDir
	}
	if header.Mode == 0 {
		header.Mode = 0o644
	}
	if err := out.WriteHeader(header); err != nil {
		return err
	}
	_, err := out.Write(e.data)
	return err
}

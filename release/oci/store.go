package oci

import (
	"fmt"
	"os"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// refName is the annotation by which an OCI layout names what is in it.
const refName = "org.opencontainers.image.ref.name"

// WriteIndex makes an OCI layout in dir that holds the index under a tag. What was there is replaced.
func WriteIndex(dir, tag string, index v1.ImageIndex) error {
	path, err := fresh(dir)
	if err != nil {
		return err
	}
	return path.AppendIndex(index, layout.WithAnnotations(map[string]string{refName: tag}))
}

// WriteImage is like [WriteIndex] for one image.
func WriteImage(dir, tag string, image v1.Image) error {
	path, err := fresh(dir)
	if err != nil {
		return err
	}
	return path.AppendImage(image, layout.WithAnnotations(map[string]string{refName: tag}))
}

func fresh(dir string) (layout.Path, error) {
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return layout.Write(dir, empty.Index)
}

// ReadIndex returns the index that [WriteIndex] wrote.
func ReadIndex(dir, tag string) (v1.ImageIndex, error) {
	path, err := layout.FromPath(dir)
	if err != nil {
		return nil, err
	}
	all, err := path.ImageIndex()
	if err != nil {
		return nil, err
	}
	manifest, err := all.IndexManifest()
	if err != nil {
		return nil, err
	}
	for _, m := range manifest.Manifests {
		if match.Name(tag)(m) {
			return all.ImageIndex(m.Digest)
		}
	}
	return nil, fmt.Errorf("%s: holds nothing named %q", dir, tag)
}

// Push the index to a reference such as registry/repository:tag, with the credentials of the Docker configuration of whoever runs this.
func Push(reference string, insecure bool, index v1.ImageIndex) error {
	tag, err := parse(reference, insecure)
	if err != nil {
		return err
	}
	return remote.WriteIndex(tag, index, remote.WithAuthFromKeychain(authn.DefaultKeychain))
}

// PushImage is like [Push] for one image.
func PushImage(reference string, insecure bool, image v1.Image) error {
	tag, err := parse(reference, insecure)
	if err != nil {
		return err
	}
	return remote.Write(tag, image, remote.WithAuthFromKeychain(authn.DefaultKeychain))
}

func parse(reference string, insecure bool) (name.Reference, error) {
	options := []name.Option{name.StrictValidation}
	if insecure {
		options = append(options, name.Insecure)
	}
	return name.ParseReference(reference, options...)
}

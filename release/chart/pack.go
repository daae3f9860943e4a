package chart

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	v2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"sigs.k8s.io/yaml"
)

// Media types of charts in registries, from Helm's documentation of OCI.
const (
	configType  = types.MediaType("application/vnd.cncf.helm.config.v1+json")
	contentType = types.MediaType("application/vnd.cncf.helm.chart.content.v1.tar+gzip")
)

// Packed is a chart as Helm packs it.
type Packed struct {
	Metadata *v2.Metadata
	Archive  []byte
}

// Name of the archive's file.
func (p Packed) Name() string { return p.Metadata.Name + "-" + p.Metadata.Version + ".tgz" }

// Pack the chart in the directory as a release (v0.2.0). Equal charts give equal archives: files carry the time given.
func Pack(dir, version string, modified time.Time) (Packed, error) {
	c, err := loader.LoadDir(dir)
	if err != nil {
		return Packed{}, err
	}
	c.Metadata.Version, c.Metadata.AppVersion = strings.TrimPrefix(version, "v"), version
	metadata, err := yaml.Marshal(c.Metadata)
	if err != nil {
		return Packed{}, err
	}
	var out bytes.Buffer
	compressed, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return Packed{}, err
	}
	archive := tar.NewWriter(compressed)
	for _, f := range c.Raw {
		data := f.Data
		if f.Name == "Chart.yaml" {
			data = metadata
		}
		header := &tar.Header{Name: path.Join(c.Name(), f.Name), Mode: 0o644, Size: int64(len(data)), ModTime: modified, Format: tar.FormatPAX}
		if err := archive.WriteHeader(header); err != nil {
			return Packed{}, err
		}
		if _, err := archive.Write(data); err != nil {
			return Packed{}, err
		}
	}
	if err := archive.Close(); err != nil {
		return Packed{}, err
	}
	if err := compressed.Close(); err != nil {
		return Packed{}, err
	}
	return Packed{c.Metadata, out.Bytes()}, nil
}

// Image is the chart as `helm push` stores it in a registry.
func (p Packed) Image(created time.Time) (v1.Image, error) {
	config, err := json.Marshal(p.Metadata)
	if err != nil {
		return nil, err
	}
	core := &chartImage{config: config, content: static.NewLayer(p.Archive, contentType)}
	configHash, configSize, err := v1.SHA256(bytes.NewReader(config))
	if err != nil {
		return nil, err
	}
	content, err := partial.Descriptor(core.content)
	if err != nil {
		return nil, err
	}
	core.manifest, err = json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: v1.Descriptor{MediaType: configType, Size: configSize, Digest: configHash},
		Layers: []v1.Descriptor{*content},
		Annotations: map[string]string{
			"org.opencontainers.image.title": p.Metadata.Name, "org.opencontainers.image.version": p.Metadata.Version,
			"org.opencontainers.image.description": p.Metadata.Description, "org.opencontainers.image.created": created.UTC().Format(time.RFC3339),
			"org.opencontainers.image.source": p.Metadata.Home,
		},
	})
	if err != nil {
		return nil, err
	}
	return partial.CompressedToImage(core)
}

// chartImage is what a registry holds of a chart; its configuration is none of a container.
type chartImage struct {
	config, manifest []byte
	content          v1.Layer
}

func (c *chartImage) RawConfigFile() ([]byte, error)      { return c.config, nil }
func (c *chartImage) RawManifest() ([]byte, error)        { return c.manifest, nil }
func (c *chartImage) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }
func (c *chartImage) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	digest, err := c.content.Digest()
	if err != nil {
		return nil, err
	}
	if h != digest {
		return nil, fmt.Errorf("a chart has no layer %s", h)
	}
	return c.content, nil
}

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/llm-inferno/inferno/release/licences"
	"github.com/llm-inferno/inferno/release/oci"
	"github.com/llm-inferno/inferno/release/sbom"
)

// imageOptions of the command images.
type imageOptions struct {
	version, out, registry string
	only, architectures    string
	insecure               bool
}

func (o *imageOptions) flags(f *flag.FlagSet) {
	f.StringVar(&o.version, "version", "v0.0.0-dev", "release that the images are of")
	f.StringVar(&o.out, "out", "out", "directory to write images/NAME (OCI layouts), sbom and bin to")
	f.StringVar(&o.registry, "registry", "", "registry and path to push to, like ghcr.io/llm-inferno; empty pushes nothing")
	f.BoolVar(&o.insecure, "insecure", false, "the registry speaks plain HTTP")
	f.StringVar(&o.only, "only", "", "names of the images to build, separated by commas; empty for all")
	f.StringVar(&o.architectures, "architectures", "amd64,arm64", "architectures to build for, separated by commas")
}

// selected are the programs to build images of.
func (o *imageOptions) selected() ([]program, error) {
	if o.only == "" {
		return images, nil
	}
	var chosen []program
	var faults []error
	for _, name := range strings.Split(o.only, ",") {
		i := slices.IndexFunc(images, func(p program) bool { return p.name == name })
		if i < 0 {
			faults = append(faults, fmt.Errorf("-only: %q is no image", name))
			continue
		}
		chosen = append(chosen, images[i])
	}
	return chosen, errors.Join(faults...)
}

func runImages(ctx context.Context, args []string) error {
	var o imageOptions
	f := flag.NewFlagSet("images", flag.ContinueOnError)
	o.flags(f)
	if err := f.Parse(args); err != nil {
		return err
	}
	r, err := newRevision(ctx, ".", o.version)
	if err != nil {
		return err
	}
	built, err := o.build(ctx, r)
	if err != nil {
		return err
	}
	return report(built)
}

// builtImage is an image that was written.
type builtImage struct {
	name  string
	index v1.ImageIndex
}

// build writes images and their parts lists, and pushes the images where a registry is given.
func (o *imageOptions) build(ctx context.Context, r revision) ([]builtImage, error) {
	chosen, err := o.selected()
	if err != nil {
		return nil, err
	}
	terms, err := os.ReadFile(filepath.Join(r.root, "LICENSE"))
	if err != nil {
		return nil, err
	}
	base, err := oci.Base(oci.Certificates(), terms)
	if err != nil {
		return nil, err
	}
	var built []builtImage
	for _, p := range chosen {
		index, err := o.one(ctx, r, base, p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		built = append(built, builtImage{p.name, index})
	}
	return built, nil
}

func (o *imageOptions) one(ctx context.Context, r revision, base v1.Layer, p program) (v1.ImageIndex, error) {
	var programs []oci.Program
	for _, architecture := range strings.Split(o.architectures, ",") {
		on := platform{"linux", architecture}
		file, err := r.build(ctx, filepath.Join(o.out, "bin"), p, on)
		if err != nil {
			return nil, err
		}
		terms, err := r.list(ctx, file, filepath.Join(o.out, "sbom"), p, on)
		if err != nil {
			return nil, err
		}
		programs = append(programs, oci.Program{Name: p.name, Architecture: architecture, File: file, Licences: terms})
	}
	index, err := oci.Index(base, programs, oci.Labels{
		Title: p.name, Description: p.description, Source: source, Revision: r.commit, Version: r.version, Licence: licence, Created: r.time,
	})
	if err != nil {
		return nil, err
	}
	if err := oci.WriteIndex(filepath.Join(o.out, "images", p.name), r.version, index); err != nil {
		return nil, err
	}
	if o.registry == "" {
		return index, nil
	}
	return index, oci.Push(o.registry+"/"+p.name+":"+r.version, o.insecure, index)
}

// list the parts of a program into dir, and return the texts of their licences.
func (r revision) list(ctx context.Context, file, dir string, p program, on platform) ([]byte, error) {
	modules, errModules := output(ctx, r.root, "go", "env", "GOMODCACHE")
	goRoot, errGo := output(ctx, r.root, "go", "env", "GOROOT")
	if err := errors.Join(errModules, errGo); err != nil {
		return nil, err
	}
	parts, err := licences.Of(file, licences.Where{Modules: modules, Go: goRoot})
	if err != nil {
		return nil, err
	}
	document, err := sbom.Of(file, r.version, licence, parts, r.time)
	if err != nil {
		return nil, err
	}
	data, err := document.JSON()
	if err != nil {
		return nil, err
	}
	return licences.File(parts), writeFile(filepath.Join(dir, p.name+"-"+on.String()+".spdx.json"), data)
}

func writeFile(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o644)
}

// report digests and sizes: what a node pulls for its platform.
func report(built []builtImage) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "IMAGE\tPLATFORM\tCOMPRESSED MB\tDIGEST OF THE INDEX")
	for _, b := range built {
		digest, err := b.index.Digest()
		if err != nil {
			return err
		}
		manifest, err := b.index.IndexManifest()
		if err != nil {
			return err
		}
		for _, m := range manifest.Manifests {
			size, err := pullSize(b.index, m.Digest)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "%s\t%s\t%.1f\t%s\n", b.name, m.Platform, float64(size)/1e6, digest)
		}
	}
	return w.Flush()
}

func pullSize(index v1.ImageIndex, digest v1.Hash) (int64, error) {
	image, err := index.Image(digest)
	if err != nil {
		return 0, err
	}
	manifest, err := image.Manifest()
	if err != nil {
		return 0, err
	}
	size := manifest.Config.Size
	for _, l := range manifest.Layers {
		size += l.Size
	}
	return size, nil
}

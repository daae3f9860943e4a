package main

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/llm-inferno/inferno/release/chart"
	"github.com/llm-inferno/inferno/release/oci"
	"github.com/llm-inferno/inferno/release/sign"
)

// keyVariable of the environment holds the key that signs, PEM; see docs/versioning.md.
const keyVariable = "RELEASE_KEY"

// releaseOptions of the command all.
type releaseOptions struct {
	imageOptions
	platforms string
}

// runAll makes a whole release in out/VERSION. Nothing leaves the machine unless a registry is given.
func runAll(ctx context.Context, args []string) error {
	var o releaseOptions
	f := flag.NewFlagSet("all", flag.ContinueOnError)
	o.flags(f)
	f.StringVar(&o.platforms, "platforms", "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64,windows/arm64", "platforms of the command line")
	if err := f.Parse(args); err != nil {
		return err
	}
	r, err := newRevision(ctx, ".", o.version)
	if err != nil {
		return err
	}
	key, err := releaseKey()
	if err != nil {
		return err
	}
	o.out = filepath.Join(o.out, r.version)
	if err := os.RemoveAll(o.out); err != nil {
		return err
	}
	return o.make(ctx, r, key)
}

// releaseKey of the environment; nil where there is none.
func releaseKey() (crypto.Signer, error) {
	text := os.Getenv(keyVariable)
	if text == "" {
		fmt.Fprintf(os.Stderr, "%s is not set: nothing is signed\n", keyVariable)
		return nil, nil
	}
	key, err := sign.ParseKey([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyVariable, err)
	}
	return key, nil
}

// make all parts, in the order in which one needs another.
func (o *releaseOptions) make(ctx context.Context, r revision, key crypto.Signer) error {
	changelog, err := os.ReadFile(filepath.Join(r.root, "CHANGELOG.md"))
	if err != nil {
		return err
	}
	said, err := notes(changelog, r.version)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(o.out, "NOTES.md"), said); err != nil {
		return err
	}
	built, err := o.build(ctx, r)
	if err != nil {
		return err
	}
	packed, err := o.chart(r)
	if err != nil {
		return err
	}
	if err := o.manifests(r); err != nil {
		return err
	}
	if err := o.commandLines(ctx, r); err != nil {
		return err
	}
	images, err := o.images(r, built, packed, key)
	if err != nil {
		return err
	}
	if err := o.seal(r, images, key); err != nil {
		return err
	}
	if err := report(built); err != nil {
		return err
	}
	fmt.Printf("%s is whole. make test-release VERSION=%s installs it here. Once it is published, keep its chart for the test of upgrades to the next:\n  cp %s %s\n",
		o.out, r.version, filepath.Join(o.out, "inferno-"+strings.TrimPrefix(r.version, "v")+".tgz"), previousChart)
	return nil
}

// previousChart is where the chart of the release before is kept, from which the next one is upgraded (make test-node).
const previousChart = "test/node/testdata/previous.tgz"

// chart packs it and stores it as a registry does; it returns the image of it.
func (o *releaseOptions) chart(r revision) (v1.Image, error) {
	packed, err := chart.Pack(filepath.Join(r.root, chartDir), r.version, r.time)
	if err != nil {
		return nil, err
	}
	image, err := packed.Image(r.time)
	if err != nil {
		return nil, err
	}
	version := strings.TrimPrefix(r.version, "v")
	if o.registry != "" {
		if err := oci.PushImage(o.registry+"/charts/inferno:"+version, o.insecure, image); err != nil {
			return nil, err
		}
	}
	return image, errors.Join(
		writeFile(filepath.Join(o.out, packed.Name()), packed.Archive),
		oci.WriteImage(filepath.Join(o.out, "charts", "inferno"), version, image),
	)
}

// manifests for those who use kubectl alone: the definitions, and everything.
func (o *releaseOptions) manifests(r revision) error {
	definitions, err := concatenate(filepath.Join(r.root, chartDir, "files", "crds", "inferno.platform.ai_*.yaml"))
	if err != nil {
		return err
	}
	values, err := chart.ReadValues(filepath.Join(r.root, overlayDir, "default", "values.yaml"))
	if err != nil {
		return err
	}
	values["image"] = map[string]any{"tag": r.version}
	rendered, err := chart.Render(filepath.Join(r.root, chartDir), chart.Options{Release: "inferno", Namespace: "inferno-system", Kubernetes: "v1.37.0", Values: values})
	if err != nil {
		return err
	}
	objects, files, optimizer := separate(string(rendered.Objects))
	files["crds.yaml"], files["inferno.yaml"], files["optimizer.yaml"] = string(definitions), string(definitions)+objects, optimizer
	var faults []error
	for name, text := range files {
		faults = append(faults, writeFile(filepath.Join(o.out, name), []byte(text)))
	}
	return errors.Join(faults...)
}

func concatenate(pattern string) ([]byte, error) {
	files, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	var all []byte
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		all = append(all, data...)
	}
	return all, nil
}

// commandLines of all platforms, and the manifest that krew finds them by.
func (o *releaseOptions) commandLines(ctx context.Context, r revision) error {
	var archives []archived
	for _, p := range strings.Split(o.platforms, ",") {
		system, arch, found := strings.Cut(p, "/")
		if !found {
			return fmt.Errorf("-platforms: %q is not allowed, must be like linux/amd64", p)
		}
		on := platform{system, arch}
		binary, err := r.build(ctx, filepath.Join(o.out, "bin"), cli, on)
		if err != nil {
			return err
		}
		terms, err := r.list(ctx, binary, filepath.Join(o.out, "sbom"), cli, on)
		if err != nil {
			return err
		}
		data, name, err := r.commandLine(binary, terms, on)
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(o.out, name), data); err != nil {
			return err
		}
		archives = append(archives, archived{name, sum(data), on})
	}
	manifest, err := krew(r.version, archives)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(o.out, "krew-inferno.yaml"), manifest)
}

// images signs them and the chart, where there is a key, and returns their names and digests.
func (o *releaseOptions) images(r revision, built []builtImage, packed v1.Image, key crypto.Signer) ([]sign.Subject, error) {
	registry := o.registry
	if registry == "" {
		registry = "ghcr.io/llm-inferno" // where releases go: what a signature names
	}
	digests := map[string]v1.Hash{}
	for _, b := range built {
		digest, err := b.index.Digest()
		if err != nil {
			return nil, err
		}
		digests[b.name] = digest
	}
	digest, err := packed.Digest()
	if err != nil {
		return nil, err
	}
	digests["charts/inferno"] = digest
	var subjects []sign.Subject
	var list strings.Builder
	for _, name := range sortedKeys(digests) {
		repository, digest := registry+"/"+name, digests[name]
		fmt.Fprintf(&list, "%s:%s@%s\n", repository, r.version, digest)
		subjects = append(subjects, sign.Subject{Name: repository, Digest: map[string]string{"sha256": digest.Hex}})
		if err := o.signImage(name, repository, digest, key); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return subjects, writeFile(filepath.Join(o.out, "images.txt"), []byte(list.String()))
}

func sortedKeys(m map[string]v1.Hash) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (o *releaseOptions) signImage(name, repository string, digest v1.Hash, key crypto.Signer) error {
	if key == nil {
		return nil
	}
	signature, err := sign.Image(key, repository, digest)
	if err != nil {
		return err
	}
	if err := oci.WriteImage(filepath.Join(o.out, "signatures", name), sign.Tag(digest), signature); err != nil || o.registry == "" {
		return err
	}
	return oci.PushImage(repository+":"+sign.Tag(digest), o.insecure, signature)
}

// seal writes the sums of all files to be published, and signs these and a statement about where everything comes from.
func (o *releaseOptions) seal(r revision, subjects []sign.Subject, key crypto.Signer) error {
	var sums strings.Builder
	entries, err := published(o.out)
	if err != nil {
		return err
	}
	for _, name := range entries {
		data, err := os.ReadFile(filepath.Join(o.out, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%s  %s\n", sum(data), name)
		subjects = append(subjects, sign.Subject{Name: name, Digest: map[string]string{"sha256": sum(data)}})
	}
	checksums := []byte(sums.String())
	if err := writeFile(filepath.Join(o.out, "checksums.txt"), checksums); err != nil || key == nil {
		return err
	}
	signature, errSignature := sign.Blob(key, checksums)
	public, errPublic := sign.PublicPEM(key)
	statement, errStatement := sign.Provenance(key, subjects, source, r.commit, r.version, runtime.Version())
	if err := errors.Join(errSignature, errPublic, errStatement); err != nil {
		return err
	}
	return errors.Join(
		writeFile(filepath.Join(o.out, "checksums.txt.sig"), []byte(base64.StdEncoding.EncodeToString(signature)+"\n")),
		writeFile(filepath.Join(o.out, "inferno.pub"), public),
		writeFile(filepath.Join(o.out, "provenance.intoto.jsonl"), append(statement, '\n')),
	)
}

// published are the files of a release that have a sum: all but the layouts, whose digests are in images.txt, and the bare binaries.
func published(dir string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if slices.Contains([]string{"bin", "images", "charts", "signatures"}, relative) {
				return fs.SkipDir
			}
			return nil
		}
		names = append(names, filepath.ToSlash(relative))
		return nil
	})
	return names, err
}

func sum(data []byte) string {
	digest := sha256.Sum256(data)
	return hex.EncodeToString(digest[:])
}

// runKey makes a key for releases.
func runKey(context.Context, []string) error {
	private, public, err := sign.NewKey()
	if err != nil {
		return err
	}
	if err := os.WriteFile("inferno.key", private, 0o600); err != nil {
		return err
	}
	return os.WriteFile("inferno.pub", public, 0o644)
}

// runVerify tells whether the files of a release are what its key signed.
func runVerify(_ context.Context, args []string) error {
	f := flag.NewFlagSet("verify", flag.ContinueOnError)
	dir := f.String("dir", ".", "directory of the release")
	public := f.String("key", "inferno.pub", "public key")
	if err := f.Parse(args); err != nil {
		return err
	}
	key, errKey := os.ReadFile(*public)
	sums, errSums := os.ReadFile(filepath.Join(*dir, "checksums.txt"))
	encoded, errSignature := os.ReadFile(filepath.Join(*dir, "checksums.txt.sig"))
	if err := errors.Join(errKey, errSums, errSignature); err != nil {
		return err
	}
	signature, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(encoded)))
	if err != nil {
		return fmt.Errorf("checksums.txt.sig: %w", err)
	}
	faults := []error{sign.Verify(key, sums, signature)}
	for _, line := range strings.Split(strings.TrimSpace(string(sums)), "\n") {
		want, name, _ := strings.Cut(line, "  ")
		data, err := os.ReadFile(filepath.Join(*dir, name))
		if err == nil && sum(data) != want {
			err = fmt.Errorf("%s is not what was released", name)
		}
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

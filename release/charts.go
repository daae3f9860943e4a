package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"

	"github.com/llm-inferno/inferno/release/chart"
)

// Where chart and overlays are in the repository.
const (
	chartDir   = "manifests/chart"
	overlayDir = "manifests/overlays"
)

// runTemplate renders the chart to standard output, as `helm template` does, with objects of a cluster to look up.
func runTemplate(_ context.Context, args []string) error {
	f := flag.NewFlagSet("template", flag.ContinueOnError)
	dir := f.String("chart", "../"+chartDir, "directory of the chart")
	name := f.String("release", "inferno", "name of the release")
	namespace := f.String("namespace", "inferno-system", "namespace of the release")
	kubernetes := f.String("kube-version", "", "version of Kubernetes; empty for Helm's own")
	values := f.String("values", "", "file of values")
	existing := f.String("existing", "", "file of objects that are in the cluster")
	notes := f.Bool("notes", false, "print the notes in place of the objects")
	if err := f.Parse(args); err != nil {
		return err
	}
	v, errValues := chart.ReadValues(*values)
	objects, errObjects := readObjects(*existing)
	if err := errors.Join(errValues, errObjects); err != nil {
		return err
	}
	r, err := chart.Render(*dir, chart.Options{Release: *name, Namespace: *namespace, Kubernetes: *kubernetes, Values: v, Existing: objects})
	if err != nil {
		return err
	}
	if *notes {
		r.Objects = []byte(r.Notes)
	}
	_, err = os.Stdout.Write(r.Objects)
	return err
}

func readObjects(file string) ([]*unstructured.Unstructured, error) {
	if file == "" {
		return nil, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var objects []*unstructured.Unstructured
	for decoder := utilyaml.NewYAMLOrJSONDecoder(f, 4096); ; {
		o := &unstructured.Unstructured{}
		if err := decoder.Decode(&o.Object); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		objects = append(objects, o)
	}
}

// runGenerate writes what is made from the chart: the overlays for kubectl, and the chart's README.
func runGenerate(context.Context, []string) error {
	root := ".."
	overlays, err := filepath.Glob(filepath.Join(root, overlayDir, "*", "values.yaml"))
	if err != nil {
		return err
	}
	for _, values := range overlays {
		if err := generateOverlay(filepath.Join(root, chartDir), values); err != nil {
			return fmt.Errorf("%s: %w", values, err)
		}
	}
	readme, err := chart.Readme(filepath.Join(root, chartDir))
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(root, chartDir, "README.md"), readme)
}

// generateOverlay renders the chart with the values of an overlay. What Helm would make by a hook is a file of its own there: kubectl cannot create
// an object with the definition of its kind in one go.
func generateOverlay(dir, file string) error {
	values, err := chart.ReadValues(file)
	if err != nil {
		return err
	}
	r, err := chart.Render(dir, chart.Options{Release: "inferno", Namespace: "inferno-system", Kubernetes: "v1.37.0", Values: values})
	if err != nil {
		return err
	}
	const head = "# Rendered from manifests/chart with values.yaml by make generate; not to be edited.\n"
	objects, metrics, hook := apart(string(r.Objects))
	faults := []error{writeFile(filepath.Join(filepath.Dir(file), "inferno.yaml"), []byte(head+objects))}
	for name, text := range map[string]string{externalMetricsFile: metrics, "optimizer.yaml": hook} {
		if text != "" {
			faults = append(faults, writeFile(filepath.Join(filepath.Dir(file), name), []byte(head+text)))
		}
	}
	return errors.Join(faults...)
}

// externalMetricsFile has the registration for external.metrics.k8s.io: kubectl cannot see whether another adapter of the cluster has it, and would take it away.
const externalMetricsFile = "external-metrics.yaml"

// apart are the objects of a rendered chart that kubectl applies in one go, the registrations for APIs of metrics, and what begins with the first hook.
func apart(rendered string) (objects, metrics, hook string) {
	objects, hook, found := strings.Cut(rendered, hookMark)
	if found {
		hook = hookMark + hook
	}
	for {
		i := strings.Index(objects, metricsMark)
		if i < 0 {
			return objects, metrics, hook
		}
		end := len(objects)
		if n := strings.Index(objects[i+1:], "\n---\n"); n >= 0 {
			end = i + 1 + n + 1
		}
		metrics += objects[i:end]
		objects = objects[:i] + objects[end:]
	}
}

// metricsMark begins a registration for an API of metrics in a rendered chart.
const metricsMark = "---\n# A group of metrics has one owner in a cluster"

// hookMark begins the first hook of a rendered chart.
const hookMark = "---\n# A hook,"

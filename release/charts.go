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
	objects, apart, hook := separate(string(r.Objects))
	apart["inferno.yaml"], apart["optimizer.yaml"] = objects, hook
	var faults []error
	for name, text := range apart {
		if text != "" {
			faults = append(faults, writeFile(filepath.Join(filepath.Dir(file), name), []byte(head+text)))
		}
	}
	return errors.Join(faults...)
}

// marks begin what kubectl does not apply in one go with the rest of a rendered chart, by the file that has it.
var marks = map[string]string{
	// kubectl cannot see whether another adapter of the cluster has external.metrics.k8s.io, and would take it away.
	"external-metrics.yaml": "---\n# A group of metrics has one owner in a cluster",
	// kubectl cannot see whether the API server knows of them.
	"adoption.yaml": "---\n# Needs MutatingAdmissionPolicies",
}

// separate what of a rendered chart kubectl applies in one go, what is marked, by file, and what begins with the first hook.
func separate(rendered string) (objects string, marked map[string]string, hook string) {
	objects, hook, found := strings.Cut(rendered, hookMark)
	if found {
		hook = hookMark + hook
	}
	marked = map[string]string{}
	for file, mark := range marks {
		for i := strings.Index(objects, mark); i >= 0; i = strings.Index(objects, mark) {
			end := len(objects)
			if n := strings.Index(objects[i+1:], "\n---\n"); n >= 0 {
				end = i + 1 + n + 1
			}
			marked[file] += objects[i:end]
			objects = objects[:i] + objects[end:]
		}
	}
	return objects, marked, hook
}

// hookMark begins the first hook of a rendered chart.
const hookMark = "---\n# A hook,"

package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// What is converted is a stream of resources; everything else is said beside it, in lines that fit a terminal.
func TestConvertWVA(t *testing.T) {
	for _, file := range []string{"v0.4.yaml", "v0.5.yaml"} {
		root := newRootCommand()
		var out, said bytes.Buffer
		root.SetOut(&out)
		root.SetErr(&said)
		if status := run(context.Background(), root, []string{"convert", "wva", "-f", "../../docs/recipes/coming-from-wva/" + file}); status != 0 {
			t.Fatalf("status %d: %s", status, &said)
		}
		kinds := map[string]int{}
		for _, document := range strings.Split(out.String(), "\n---\n") {
			var object struct{ APIVersion, Kind string }
			if err := yaml.Unmarshal([]byte(document), &object); err != nil || object.APIVersion != "inferno.platform.ai/v1alpha1" {
				t.Errorf("%s: %v in\n%s", file, err, document)
			}
			kinds[object.Kind]++
		}
		for _, kind := range []string{"Accelerator", "Model", "ServiceClass", "Server"} {
			if kinds[kind] == 0 {
				t.Errorf("%s: no %s", file, kind)
			}
		}
		narrow(t, said.String())
	}
}

// Input that cannot be read is the user's, and nothing is written then.
func TestConvertWVARefuses(t *testing.T) {
	for _, c := range []struct{ args, in, want string }{
		{"-f -", "apiVersion: llmd.ai/v1alpha1\nkind: VariantAutoscaling\nmetadata: {name: a}\nspec: {}\n", "spec.modelID: is missing"},
		{"-f -", "", "no VariantAutoscaling is in the input"},
		{"-f /nowhere", "", "--file: open /nowhere"},
	} {
		root := newRootCommand()
		var out, said bytes.Buffer
		root.SetOut(&out)
		root.SetErr(&said)
		root.SetIn(strings.NewReader(c.in))
		status := run(context.Background(), root, append([]string{"convert", "wva"}, strings.Fields(c.args)...))
		if status != exitBadInput || !strings.Contains(said.String(), c.want) || out.Len() > 0 {
			t.Errorf("%s: status %d, wrote %q, said %q", c.args, status, &out, &said)
		}
	}
}

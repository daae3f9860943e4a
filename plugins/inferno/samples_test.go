package inferno

import (
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/cmd/kube-scheduler/app/options"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/validation"

	"github.com/llm-inferno/inferno/plugins/apis/config/scheme"
)

func TestSamplesAreValid(t *testing.T) {
	files, err := filepath.Glob("../config/samples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			config, err := options.LoadConfigFromFile(klog.Background(), file)
			if err != nil {
				t.Fatal(err)
			}
			if err := validation.ValidateKubeSchedulerConfiguration(config); err != nil {
				t.Error(err)
			}
			found := 0
			for _, profile := range config.Profiles {
				for _, c := range profile.PluginConfig {
					if c.Name != Name {
						continue
					}
					found++
					if _, ok := c.Args.(*runtime.Unknown); !ok {
						t.Errorf("args are a %T", c.Args)
					}
					if _, err := scheme.FromObject(c.Args); err != nil {
						t.Error(err)
					}
				}
			}
			if found == 0 {
				t.Error("the sample does not configure the plugin")
			}
		})
	}
}

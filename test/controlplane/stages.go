package controlplane

import (
	"bytes"
	_ "embed"
	"fmt"
	"text/template"
	"time"
)

// StartupSecondsAnnotation on a pod says how many seconds it takes from its start until it is Ready, in place of
// [Options.PodStartup]: a number, as text. It imitates the time in which a model server loads its weights.
const StartupSecondsAnnotation = "controlplane.inferno.platform.ai/startup-seconds"

//go:embed stages.yaml
var stagesYAML string

// kwok evaluates templates of its own in the stages, so ours has other delimiters.
var stagesTemplate = template.Must(template.New("stages").Delims("<<", ">>").Parse(stagesYAML))

// stages returns the life of the simulated nodes and pods as kwok reads it.
func stages(podStartup time.Duration) ([]byte, error) {
	if podStartup < 0 {
		return nil, fmt.Errorf("pod start-up time %v: must not be negative", podStartup)
	}
	var b bytes.Buffer
	err := stagesTemplate.Execute(&b, map[string]any{
		"Annotation":     StartupSecondsAnnotation,
		"StartupSeconds": fmt.Sprintf("%g", podStartup.Seconds()),
	})
	return b.Bytes(), err
}

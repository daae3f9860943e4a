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

// ShutdownSecondsAnnotation on a pod says how many seconds it takes from its deletion until it is gone, in place of
// [Options.PodShutdown]: a number, as text. It imitates the time in which a model server finishes the requests it has. The
// grace period ends it.
const ShutdownSecondsAnnotation = "controlplane.inferno.platform.ai/shutdown-seconds"

//go:embed stages.yaml
var stagesYAML string

// kwok evaluates templates of its own in the stages, so ours has other delimiters.
var stagesTemplate = template.Must(template.New("stages").Delims("<<", ">>").Parse(stagesYAML))

// stages returns the life of the simulated nodes and pods as kwok reads it.
func stages(startup, shutdown time.Duration) ([]byte, error) {
	if startup < 0 || shutdown < 0 {
		return nil, fmt.Errorf("pod start-up time %v, shutdown time %v: must not be negative", startup, shutdown)
	}
	type stretch struct{ Annotation, Seconds string }
	seconds := func(d time.Duration) string { return fmt.Sprintf("%g", d.Seconds()) }
	var b bytes.Buffer
	err := stagesTemplate.Execute(&b, map[string]stretch{
		"Startup":  {StartupSecondsAnnotation, seconds(startup)},
		"Shutdown": {ShutdownSecondsAnnotation, seconds(shutdown)},
	})
	return b.Bytes(), err
}

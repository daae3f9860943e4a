// Command inferno-scheduler is kube-scheduler with the plugin Inferno compiled in. It takes the flags and the configuration of
// kube-scheduler; the plugin works where a profile of the configuration enables it.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // metrics of the API client
	_ "k8s.io/component-base/metrics/prometheus/version"  // the version as a metric
	"k8s.io/kubernetes/cmd/kube-scheduler/app"

	"github.com/llm-inferno/inferno/plugins/inferno"
)

func main() {
	command := app.NewSchedulerCommand(app.WithPlugin(inferno.Name, inferno.NewFactory().New))
	command.Use = "inferno-scheduler"
	os.Exit(cli.Run(command))
}

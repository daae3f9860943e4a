// Command inferno-scheduler is kube-scheduler with the plugin Inferno compiled in. It takes the flags and the configuration of
// kube-scheduler; the plugin works where a profile of the configuration enables it. One flag is its own: --readiness-bind-address, an address
// whose /readyz says whether this scheduler leads or stands by.
package main

import (
	"os"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // metrics of the API client
	_ "k8s.io/component-base/metrics/prometheus/version"  // the version as a metric
	"k8s.io/kubernetes/cmd/kube-scheduler/app"

	"github.com/llm-inferno/inferno/plugins/inferno"
)

func main() { os.Exit(cli.Run(newCommand(&readiness{}))) }

func newCommand(ready *readiness) *cobra.Command {
	command := app.NewSchedulerCommand(app.WithPlugin(inferno.Name, ready.learnClient(inferno.NewFactory().New)))
	command.Use = "inferno-scheduler"
	ready.install(command)
	return command
}

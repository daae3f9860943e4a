// Command inferno-scheduler is kube-scheduler with the plugin Inferno compiled in. It takes the flags and the configuration of
// kube-scheduler; the plugin works where a profile of the configuration enables it. One flag is its own: --readiness-bind-address, an address
// whose /readyz says whether this scheduler leads or stands by.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // metrics of the API client
	_ "k8s.io/component-base/metrics/prometheus/version"  // the version as a metric
	kubernetes "k8s.io/component-base/version"
	"k8s.io/kubernetes/cmd/kube-scheduler/app"

	"github.com/llm-inferno/inferno/plugins/inferno"
	"github.com/llm-inferno/inferno/version"
)

func main() { os.Exit(cli.Run(newCommand(&readiness{}))) }

func newCommand(ready *readiness) *cobra.Command {
	command := app.NewSchedulerCommand(app.WithPlugin(inferno.Name, ready.learnClient(inferno.NewFactory().New)))
	command.Use = "inferno-scheduler"
	ready.install(command)
	command.PreRunE = func(*cobra.Command, []string) error {
		// Else kube-scheduler prints its own version alone.
		if asked := command.Flags().Lookup("version"); asked != nil && asked.Changed && asked.Value.String() == "true" {
			fmt.Println("inferno-scheduler version", version.String(), "of Kubernetes", kubernetes.Get())
			os.Exit(0)
		}
		return ready.start()
	}
	return command
}

package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	coordination "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
)

// readinessTimeout is how long one answer may take; a kubelet asks again soon.
const readinessTimeout = 3 * time.Second

// readiness answers whether this scheduler does its part: it leads, or it stands by for another that does. kube-scheduler's own /readyz does
// not ask that, so that a scheduler which may not touch its lease is ready, and never places a pod.
type readiness struct {
	flags   *pflag.FlagSet
	address string
	client  atomic.Pointer[kubernetes.Interface]
}

// install adds the flag; start serves.
func (r *readiness) install(command *cobra.Command) {
	r.flags = command.Flags()
	r.flags.StringVar(&r.address, "readiness-bind-address", "", "address of a /readyz that is 200 only while this scheduler leads or another one does; needs --leader-elect. Empty for none")
}

// learnClient makes a plugin by the factory, and keeps the client that it is given.
func (r *readiness) learnClient(factory frameworkruntime.PluginFactory) frameworkruntime.PluginFactory {
	return func(ctx context.Context, args runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
		client := handle.ClientSet()
		r.client.Store(&client)
		return factory(ctx, args, handle)
	}
}

// start serves in the background, where an address is given.
func (r *readiness) start() error {
	if r.address == "" {
		return nil
	}
	if !r.flags.Changed("leader-elect") {
		return errors.New("--readiness-bind-address needs --leader-elect=true or --leader-elect=false beside it, and the lease named by flags")
	}
	listener, err := net.Listen("tcp", r.address)
	if err != nil {
		return fmt.Errorf("--readiness-bind-address: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", r.serve)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: readinessTimeout}
	go func() { _ = server.Serve(listener) }() // until the process ends
	return nil
}

func (r *readiness) serve(w http.ResponseWriter, request *http.Request) {
	ctx, cancel := context.WithTimeout(request.Context(), readinessTimeout)
	defer cancel()
	state, err := r.state(ctx)
	if err != nil {
		http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, state)
}

// state of this scheduler in words; an error where it neither leads nor stands by.
func (r *readiness) state(ctx context.Context) (string, error) {
	if port, err := r.flags.GetInt("secure-port"); err == nil && port > 0 {
		if err := askScheduler(ctx, port); err != nil {
			return "", err
		}
	}
	if elects, err := r.flags.GetBool("leader-elect"); err != nil || !elects {
		return "leads: there is no election", err
	}
	client := r.client.Load()
	if client == nil {
		return "", errors.New("no profile has made the plugin yet")
	}
	namespace, errNamespace := r.flags.GetString("leader-elect-resource-namespace")
	name, errName := r.flags.GetString("leader-elect-resource-name")
	host, errHost := os.Hostname()
	if err := errors.Join(errNamespace, errName, errHost); err != nil {
		return "", err
	}
	lease, err := (*client).CoordinationV1().Leases(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("lease %s/%s: %w", namespace, name, err)
	}
	return standing(lease, host, time.Now())
}

// standing says who leads by the lease. Of holders, this scheduler is the one whose identity begins with the name of its host, as
// kube-scheduler makes it up.
func standing(lease *coordination.Lease, host string, now time.Time) (string, error) {
	spec := lease.Spec
	if spec.HolderIdentity == nil || *spec.HolderIdentity == "" || spec.RenewTime == nil || spec.LeaseDurationSeconds == nil {
		return "", fmt.Errorf("nobody holds the lease %s/%s", lease.Namespace, lease.Name)
	}
	holder, age := *spec.HolderIdentity, now.Sub(spec.RenewTime.Time)
	if age > time.Duration(*spec.LeaseDurationSeconds)*time.Second {
		return "", fmt.Errorf("nobody leads: %s renewed the lease %s/%s last %s ago", holder, lease.Namespace, lease.Name, age.Round(time.Second))
	}
	if strings.HasPrefix(holder, host+"_") {
		return "leads", nil
	}
	return "stands by: " + holder + " leads", nil
}

// askScheduler for kube-scheduler's own readiness, which it serves on this host under a certificate that it made up.
func askScheduler(ctx context.Context, port int) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://127.0.0.1:%d/readyz", port), nil)
	if err != nil {
		return err
	}
	response, err := loopback.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	return fmt.Errorf("kube-scheduler's readyz: %s: %s", response.Status, cmp.Or(strings.TrimSpace(string(body)), fmt.Sprint(err)))
}

// loopback talks to this process alone, so that there is nobody to be told from.
var loopback = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}

package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/observe"
)

// Cluster is what was read.
type Cluster struct {
	Now time.Time
	// Kubernetes is the version that the API server behaves as; nil where that is not known.
	Kubernetes *version.Version
	// Missing are the kinds whose definitions are not installed; nothing else is read then.
	Missing []string
	// Unseen says of kinds why they were not looked at: whoever asks has no right to.
	Unseen       map[string]error
	Optimizers   []v1alpha1.Optimizer
	Servers      []v1alpha1.Server
	Accelerators []v1alpha1.Accelerator
	Models       []v1alpha1.Model
	Deployments  []appsv1.Deployment
	Autoscalers  []autoscalingv2.HorizontalPodAutoscaler
	Pods         []corev1.Pod
	APIServices  []APIService
	// Leases by which inferno's own programs elect a leader, and LeasesFault says why they could not be read.
	Leases      []Lease
	LeasesFault error
	// Rights that the parts need and whether they have them.
	Rights []Right
	// Metrics of the pods in Prometheus; nil where Prometheus was not asked, and MetricsFault says why it did not answer.
	Metrics      observe.Metrics
	MetricsFault error
	// Copies are the pods whose series Prometheus has several times.
	Copies []observe.Copies
}

// APIService of a metrics API.
type APIService struct {
	Name string
	// Service that answers, as namespace/name; empty for the API server itself.
	Service string
	// Available says whether the API server reaches it, and Message why not.
	Available bool
	Message   string
	// Unverified marks one whose certificate is not checked.
	Unverified bool
}

// Right is one thing that somebody must be allowed to do.
type Right struct {
	Attributes authorizationv1.ResourceAttributes
	// Who needs it and what for.
	Who, For string
	// Allowed says whether it is allowed; Unknown why that could not be found out.
	Allowed bool
	Unknown error
}

// Source says what to read and with what.
type Source struct {
	Client client.Client
	// Version says which Kubernetes it is; nil where nobody is asked.
	Version discovery.ServerVersionInterface
	Now     time.Time
	// Namespace whose Servers are examined; empty for all.
	Namespace string
	// Installed is the namespace that inferno is installed in.
	Installed string
	// Prometheus to ask for samples of the pods over the window; nil for none.
	Prometheus observe.Querier
	Window     time.Duration
}

// kindAPIService is what is not found by listing.
const kindAPIService = "APIService"

// kubernetes is the version that a server behaves as. One that emulates another has that of its binary in gitVersion.
func kubernetes(server discovery.ServerVersionInterface) *version.Version {
	if server == nil {
		return nil
	}
	info, err := server.ServerVersion()
	if err != nil {
		return nil
	}
	text := info.GitVersion
	if info.EmulationMajor != "" && info.EmulationMinor != "" {
		text = info.EmulationMajor + "." + info.EmulationMinor
	}
	v, err := version.ParseGeneric(text)
	if err != nil {
		return nil
	}
	return v
}

// before tells whether the cluster is known to be of a version before that.
func (c *Cluster) before(minor uint) bool {
	return c.Kubernetes != nil && c.Kubernetes.LessThan(version.MajorMinor(1, minor))
}

// Read the state of the cluster. It lists and gets, and asks the API server who may do what. What whoever asks may not see is left out, and named.
func Read(ctx context.Context, s Source) (*Cluster, error) {
	c := &Cluster{Now: s.Now, Unseen: map[string]error{}, Kubernetes: kubernetes(s.Version)}
	var (
		optimizers   v1alpha1.OptimizerList
		servers      v1alpha1.ServerList
		accelerators v1alpha1.AcceleratorList
		models       v1alpha1.ModelList
		deployments  appsv1.DeploymentList
		autoscalers  autoscalingv2.HorizontalPodAutoscalerList
		pods         corev1.PodList
	)
	in := client.InNamespace(s.Namespace)
	for _, list := range []struct {
		kind    string
		into    client.ObjectList
		options []client.ListOption
	}{
		{"Optimizer", &optimizers, nil}, {"Accelerator", &accelerators, nil}, {"Model", &models, nil},
		{"Server", &servers, []client.ListOption{in}}, {"Deployment", &deployments, []client.ListOption{in}},
		{"HorizontalPodAutoscaler", &autoscalers, []client.ListOption{in}}, {"Pod", &pods, []client.ListOption{in, client.HasLabels{v1alpha1.ServerLabel}}},
	} {
		err := s.Client.List(ctx, list.into, list.options...)
		if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
			c.Missing = append(c.Missing, list.kind)
		} else if apierrors.IsForbidden(err) {
			c.Unseen[list.kind] = err
		} else if err != nil {
			return nil, fmt.Errorf("listing %ss: %w", list.kind, err)
		}
	}
	c.Optimizers, c.Servers, c.Accelerators, c.Models = optimizers.Items, servers.Items, accelerators.Items, models.Items
	c.Deployments, c.Autoscalers, c.Pods = deployments.Items, autoscalers.Items, pods.Items
	if len(c.Missing) > 0 {
		return c, nil
	}
	var err error
	if c.APIServices, err = readAPIServices(ctx, s.Client); apierrors.IsForbidden(err) {
		c.Unseen[kindAPIService] = err
	} else if err != nil {
		return nil, err
	}
	if c.Leases, c.LeasesFault = readLeases(ctx, s.Client, s.Installed); apierrors.IsForbidden(c.LeasesFault) {
		c.Unseen["Lease"], c.LeasesFault = c.LeasesFault, nil
	}
	c.Rights = s.askRights(ctx, c)
	if s.Prometheus != nil {
		s.measure(ctx, c)
	}
	return c, nil
}

// measure asks Prometheus, as the Optimizer does.
func (s Source) measure(ctx context.Context, c *Cluster) {
	var asked *v1alpha1.PrometheusSource
	if len(c.Optimizers) > 0 {
		asked = &c.Optimizers[0].Spec.Prometheus
	}
	source, err := observe.NewSource(s.Prometheus, asked)
	if err != nil {
		c.MetricsFault = err
		return
	}
	if c.Metrics, c.MetricsFault = observe.ReadMetrics(ctx, source, s.Now, s.Window); c.MetricsFault == nil {
		c.Copies, c.MetricsFault = observe.ReadCopies(ctx, source, s.Now)
	}
}

// metricsAPIs are the APIServices through which autoscalers read plans.
var metricsAPIs = []string{externalMetrics, customMetrics}

const (
	externalMetrics = "v1beta1.external.metrics.k8s.io"
	customMetrics   = "v1beta2.custom.metrics.k8s.io"
)

func readAPIServices(ctx context.Context, c client.Client) ([]APIService, error) {
	var found []APIService
	for _, name := range metricsAPIs {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiregistration.k8s.io", Version: "v1", Kind: "APIService"})
		switch err := c.Get(ctx, client.ObjectKey{Name: name}, u); {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return nil, fmt.Errorf("reading APIService %s: %w", name, err)
		}
		found = append(found, apiService(u))
	}
	return found, nil
}

func apiService(u *unstructured.Unstructured) APIService {
	s := APIService{Name: u.GetName(), Message: "its condition Available is missing"}
	namespace, _, _ := unstructured.NestedString(u.Object, "spec", "service", "namespace")
	if name, _, _ := unstructured.NestedString(u.Object, "spec", "service", "name"); name != "" {
		s.Service = namespace + "/" + name
	}
	s.Unverified, _, _ = unstructured.NestedBool(u.Object, "spec", "insecureSkipTLSVerify")
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		if m, is := c.(map[string]any); is && m["type"] == "Available" {
			s.Available = m["status"] == "True"
			s.Message, _ = m["message"].(string)
		}
	}
	return s
}

// askRights asks the API server whether those who need something are allowed it. That is a question, although it is put by creating a
// review: nothing is stored.
func (s Source) askRights(ctx context.Context, c *Cluster) []Right {
	needed := neededRights(c, s.Installed)
	for i := range needed {
		n := &needed[i]
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: n.Who, Groups: []string{"system:serviceaccounts", "system:authenticated"}, ResourceAttributes: &n.Attributes,
		}}
		if err := s.Client.Create(ctx, review); apierrors.IsForbidden(err) {
			c.Unseen["SubjectAccessReview"] = err
			return nil
		} else if err != nil {
			n.Unknown = errors.Join(errors.New("creating a SubjectAccessReview"), err)
			continue
		}
		n.Allowed = review.Status.Allowed
	}
	return needed
}

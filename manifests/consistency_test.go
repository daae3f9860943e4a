package manifests

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	apiextensionsinternal "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	schemavalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	cliflag "k8s.io/component-base/cli/flag"
	logsapi "k8s.io/component-base/logs/api/v1"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	podsecurityapi "k8s.io/pod-security-admission/api"
	podsecurity "k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/metricsadapter/apiserver"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
)

// What an object refers to is there, under that name.
func TestReferencesResolve(t *testing.T) {
	supplied := map[string]bool{ // by the cluster, by cert-manager
		"Secret inferno-system/inferno-adapter-tls": true,
		"Namespace /keda":                              true,
		"ServiceAccount monitoring/prometheus-k8s":     true,
		"PriorityClass /system-cluster-critical":       true,
		"Secret llm/huggingface":                       true, // optional
		"Namespace /kube-system":                       true,
		"Namespace /llm":                               true, // from the samples, where those of neighbours are built alone
		"Model /llama-3.1-8b":                          true,
		"ServiceClass /premium":                        true,
		"ServiceAccount llm/default":                   true,
		"Secret inferno-system/prometheus-ca":          true, // values of the installations
		"Secret inferno-system/prometheus-token":       true,
		"Secret inferno-system/prometheus-access":      true,
		"Secret elsewhere/mine":                        true,
		"ConfigMap elsewhere/openshift-service-ca.crt": true,
		"Namespace /inferno-system":                    true, // by helm install --create-namespace
		"Namespace /elsewhere":                         true,
	}
	for name, objects := range builds(t) {
		there := map[string]bool{}
		for _, object := range objects {
			there[identify(object)] = true
		}
		need := func(from runtime.Object, kind, namespace, name2 string) {
			t.Helper()
			if id := reference(kind, namespace, name2); !there[id] && !supplied[id] {
				t.Errorf("%s: %s refers to %s, which is not there", name, identify(from), id)
			}
		}
		for _, d := range of[*apps.Deployment](objects) {
			spec := d.Spec.Template.Spec
			account := spec.ServiceAccountName
			if account == "" {
				account = "default"
			}
			need(d, "ServiceAccount", d.Namespace, account)
			if spec.PriorityClassName != "" {
				need(d, "PriorityClass", "", spec.PriorityClassName)
			}
			for _, volume := range spec.Volumes {
				if volume.ConfigMap != nil {
					need(d, "ConfigMap", d.Namespace, volume.ConfigMap.Name)
				}
				if volume.Secret != nil {
					need(d, "Secret", d.Namespace, volume.Secret.SecretName)
				}
			}
		}
		for _, s := range of[*apiregistration.APIService](objects) {
			need(s, "Service", s.Spec.Service.Namespace, s.Spec.Service.Name)
			if want := s.Spec.Version + "." + s.Spec.Group; s.Name != want {
				t.Errorf("%s: APIService %s must be named %s", name, s.Name, want)
			}
		}
		for _, h := range of[*autoscaling.HorizontalPodAutoscaler](objects) {
			need(h, h.Spec.ScaleTargetRef.Kind, h.Namespace, h.Spec.ScaleTargetRef.Name)
		}
		for _, s := range of[*v1alpha1.Server](objects) {
			if s.Spec.ScaleTargetRef != nil {
				need(s, s.Spec.ScaleTargetRef.Kind, s.Namespace, s.Spec.ScaleTargetRef.Name)
			}
			need(s, "Model", "", s.Spec.Model)
			need(s, "ServiceClass", "", s.Spec.ServiceClass)
			for _, variant := range s.Spec.Variants {
				need(s, variant.ScaleTargetRef.Kind, s.Namespace, variant.ScaleTargetRef.Name)
				for _, accelerator := range variant.Accelerators {
					need(s, "Accelerator", "", accelerator)
				}
			}
		}
		for _, m := range of[*v1alpha1.Model](objects) {
			for _, performance := range m.Spec.Performance {
				need(m, "Accelerator", "", performance.Accelerator)
			}
		}
		for _, c := range of[*v1alpha1.ServiceClass](objects) {
			for _, target := range c.Spec.Targets {
				if target.Model != v1alpha1.AnyModel {
					need(c, "Model", "", target.Model)
				}
			}
		}
		for _, object := range objects {
			if accessor, is := object.(metav1.Object); is && accessor.GetNamespace() != "" {
				need(object, "Namespace", "", accessor.GetNamespace())
			}
		}
	}
}

// Every selector selects a pod template of its namespace.
func TestSelectorsSelect(t *testing.T) {
	for name, objects := range builds(t) {
		deployments := of[*apps.Deployment](objects)
		check := func(object runtime.Object, namespace string, selector labels.Selector) []*apps.Deployment {
			t.Helper()
			var selected []*apps.Deployment
			for _, d := range deployments {
				if d.Namespace == namespace && selector.Matches(labels.Set(d.Spec.Template.Labels)) {
					selected = append(selected, d)
				}
			}
			if len(selected) == 0 {
				t.Errorf("%s: %s selects nothing by %s", name, identify(object), selector)
			}
			return selected
		}
		parse := func(selector *metav1.LabelSelector) labels.Selector {
			t.Helper()
			parsed, err := metav1.LabelSelectorAsSelector(selector)
			if err != nil {
				t.Error(err)
			}
			return parsed
		}
		for _, d := range deployments {
			if selected := check(d, d.Namespace, parse(d.Spec.Selector)); len(selected) > 1 {
				t.Errorf("%s: the selector of %s also selects pods of %d others", name, identify(d), len(selected)-1)
			}
		}
		for _, s := range of[*core.Service](objects) {
			if s.Spec.Type == core.ServiceTypeExternalName {
				continue
			}
			for _, d := range check(s, s.Namespace, labels.SelectorFromSet(s.Spec.Selector)) {
				for _, port := range s.Spec.Ports {
					if !hasPort(d, port.TargetPort.StrVal) {
						t.Errorf("%s: %s leads to the port %s, which %s has not", name, identify(s), port.TargetPort.StrVal, identify(d))
					}
				}
			}
		}
		for _, p := range of[*policy.PodDisruptionBudget](objects) {
			check(p, p.Namespace, parse(p.Spec.Selector))
		}
		for _, p := range of[*networking.NetworkPolicy](objects) {
			check(p, p.Namespace, parse(&p.Spec.PodSelector))
		}
		for _, d := range deployments {
			for _, c := range containers(d) {
				for _, probe := range []*core.Probe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe} {
					if probe != nil && !hasPort(d, probe.HTTPGet.Port.StrVal) {
						t.Errorf("%s: a probe of %s asks port %q, which is not there", name, identify(d), probe.HTTPGet.Port.StrVal)
					}
				}
			}
		}
	}
}

func hasPort(d *apps.Deployment, name string) bool {
	return slices.ContainsFunc(containers(d), func(c core.Container) bool {
		return slices.ContainsFunc(c.Ports, func(p core.ContainerPort) bool { return p.Name == name })
	})
}

// Every pod passes the pod security standard restricted, as the API server checks it, and cannot write to its root file system.
func TestPodsAreRestricted(t *testing.T) {
	evaluator, err := podsecurity.NewEvaluator(podsecurity.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := podsecurityapi.LevelVersion{Level: podsecurityapi.LevelRestricted, Version: podsecurityapi.LatestVersion()}
	pods := 0
	for name, objects := range builds(t) {
		for _, d := range of[*apps.Deployment](objects) {
			pods++
			template := d.Spec.Template
			result := podsecurity.AggregateCheckResults(evaluator.EvaluatePod(restricted, &template.ObjectMeta, &template.Spec))
			if !result.Allowed {
				t.Errorf("%s: %s: %s", name, identify(d), result.ForbiddenDetail())
			}
			for _, c := range containers(d) {
				if c.SecurityContext == nil || c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem {
					t.Errorf("%s: the container %s of %s can write to its root file system", name, c.Name, identify(d))
				}
				if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
					t.Errorf("%s: the container %s of %s lacks a memory limit or a CPU request", name, c.Name, identify(d))
				}
			}
		}
	}
	if pods == 0 {
		t.Error("no pods were checked")
	}
}

// The adapter accepts the flags that it is started with.
func TestAdapterKnowsItsFlags(t *testing.T) {
	var groups cliflag.NamedFlagSets
	options := apiserver.NewOptions()
	options.AddFlags(&groups)
	logsapi.AddFlags(logsapi.NewLoggingConfiguration(), groups.FlagSet("logging"))
	flags := groups.FlagSet("all")
	for _, name := range groups.Order {
		if name != "all" {
			flags.AddFlagSet(groups.FlagSets[name])
		}
	}
	parsed := false
	for _, d := range of[*apps.Deployment](decode(t, installations["chart with everything"].mustRender(t))) {
		for _, c := range containers(d) {
			if c.Name != "adapter" {
				continue
			}
			parsed = true
			if err := flags.Parse(c.Args); err != nil {
				t.Error(err)
			}
			if err := options.Validate(); err != nil {
				t.Error(err)
			}
		}
	}
	if !parsed {
		t.Error("no adapter")
	}
}

// The samples follow a plan as it is: in one step, at once, and only what is theirs.
func TestAutoscalersFollowThePlan(t *testing.T) {
	objects := decode(t, Samples())
	targets := map[string]map[string]string{} // deployment → selector of its metric
	for _, s := range of[*v1alpha1.Server](objects) {
		if own := s.Spec.ScaleTargetRef; own != nil {
			targets[own.Name] = map[string]string{"server": s.Name}
		}
		for _, variant := range s.Spec.Variants {
			targets[variant.ScaleTargetRef.Name] = map[string]string{"server": s.Name, "variant": variant.Name}
		}
	}
	for _, h := range of[*autoscaling.HorizontalPodAutoscaler](objects) {
		target := h.Spec.ScaleTargetRef.Name
		want := []autoscaling.MetricSpec{{Type: autoscaling.ExternalMetricSourceType, External: &autoscaling.ExternalMetricSource{
			Metric: autoscaling.MetricIdentifier{
				Name: "inferno_desired_replicas", Selector: &metav1.LabelSelector{MatchLabels: targets[target]},
			},
			Target: autoscaling.MetricTarget{Type: autoscaling.AverageValueMetricType, AverageValue: quantity("1")},
		}}}
		if diff := cmp.Diff(want, h.Spec.Metrics); diff != "" {
			t.Errorf("%s (-want +got)\n%s", h.Name, diff)
		}
		delete(targets, target)
		for direction, rules := range map[string]*autoscaling.HPAScalingRules{"up": h.Spec.Behavior.ScaleUp, "down": h.Spec.Behavior.ScaleDown} {
			if rules.Tolerance == nil || !rules.Tolerance.IsZero() {
				t.Errorf("%s, scale %s: tolerance %v, want 0", h.Name, direction, rules.Tolerance)
			}
			if rules.StabilizationWindowSeconds == nil || *rules.StabilizationWindowSeconds != 0 {
				t.Errorf("%s, scale %s: a stabilisation window", h.Name, direction)
			}
			for _, p := range rules.Policies {
				if p.Type != autoscaling.PodsScalingPolicy || p.Value < h.Spec.MaxReplicas {
					t.Errorf("%s, scale %s: a policy of %d %s, too few for one step to %d", h.Name, direction, p.Value, p.Type, h.Spec.MaxReplicas)
				}
			}
		}
	}
	if len(targets) > 0 {
		t.Errorf("no autoscaler for %v", targets)
	}
}

// Pods of the samples carry what the scheduler plugin and the engine need.
func TestPodTemplatesTakeTheirLimitsFromThePlan(t *testing.T) {
	var config struct {
		Profiles []struct {
			SchedulerName string `json:"schedulerName"`
		} `json:"profiles"`
	}
	if err := yaml.Unmarshal(SchedulerConfig(), &config); err != nil {
		t.Fatal(err)
	}
	variants, servers := map[string]string{}, map[string]string{} // by deployment
	objects := decode(t, Samples())
	for _, s := range of[*v1alpha1.Server](objects) {
		if own := s.Spec.ScaleTargetRef; own != nil {
			servers[own.Name] = s.Name
		}
		for _, v := range s.Spec.Variants {
			servers[v.ScaleTargetRef.Name], variants[v.ScaleTargetRef.Name] = s.Name, v.Name
		}
	}
	for _, d := range of[*apps.Deployment](objects) {
		template := d.Spec.Template
		if d.Spec.Replicas != nil {
			t.Errorf("%s: replicas are set, against the autoscaler", d.Name)
		}
		if template.Spec.SchedulerName != config.Profiles[0].SchedulerName {
			t.Errorf("%s: scheduler %q, want %q", d.Name, template.Spec.SchedulerName, config.Profiles[0].SchedulerName)
		}
		if got := template.Labels[v1alpha1.ServerLabel]; got == "" || got != servers[d.Name] {
			t.Errorf("%s: server %q, want %q", d.Name, got, servers[d.Name])
		}
		if got := template.Labels[v1alpha1.VariantLabel]; got != variants[d.Name] {
			t.Errorf("%s: variant %q, want %q", d.Name, got, variants[d.Name])
		}
		engine := template.Spec.Containers[0]
		for flag, annotation := range map[string]string{
			"--max-num-seqs=$(MAX_NUM_SEQS)":                     v1alpha1.MaxNumSeqsAnnotation,
			"--max-num-batched-tokens=$(MAX_NUM_BATCHED_TOKENS)": v1alpha1.MaxNumBatchedTokensAnnotation,
		} {
			if !slices.Contains(engine.Args, flag) {
				t.Errorf("%s: argument %s is missing", d.Name, flag)
			}
			variable := strings.TrimSuffix(strings.SplitN(flag, "$(", 2)[1], ")")
			if !slices.ContainsFunc(engine.Env, func(e core.EnvVar) bool {
				return e.Name == variable && e.ValueFrom.FieldRef.FieldPath == "metadata.annotations['"+annotation+"']"
			}) {
				t.Errorf("%s: %s does not come from the annotation %s", d.Name, variable, annotation)
			}
			if template.Annotations[annotation] == "" {
				t.Errorf("%s: without a plan the engine would start with an empty %s", d.Name, variable)
			}
		}
	}
}

// Node autoscalers know nothing of plans: a variant buys the cards of its accelerators because its pods go nowhere else.
func TestVariantsAskForTheirCards(t *testing.T) {
	objects := decode(t, Samples())
	products := map[string][]string{}
	for _, a := range of[*v1alpha1.Accelerator](objects) {
		products[a.Name] = catalogue.Describe(a).ProductNames
	}
	checked := 0
	for _, s := range of[*v1alpha1.Server](objects) {
		for _, v := range s.Spec.Variants {
			var want []string
			for _, a := range v.Accelerators {
				want = append(want, products[a]...)
			}
			for _, d := range of[*apps.Deployment](objects) {
				if d.Name != v.ScaleTargetRef.Name {
					continue
				}
				checked++
				terms := d.Spec.Template.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
				if diff := cmp.Diff([]core.NodeSelectorTerm{{MatchExpressions: []core.NodeSelectorRequirement{
					{Key: "nvidia.com/gpu.product", Operator: core.NodeSelectorOpIn, Values: want},
				}}}, terms); diff != "" {
					t.Errorf("%s (-want +got)\n%s", d.Name, diff)
				}
			}
		}
	}
	if checked < 2 {
		t.Errorf("%d variants were checked", checked)
	}
}

// The samples fit the schemas that they are installed with.
func TestSamplesFitTheirDefinitions(t *testing.T) {
	schemas := map[string]*apiextensionsinternal.JSONSchemaProps{}
	for _, definition := range of[*apiextensions.CustomResourceDefinition](decode(t, CRDs())) {
		var schema apiextensionsinternal.JSONSchemaProps
		if err := apiextensions.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(
			definition.Spec.Versions[0].Schema.OpenAPIV3Schema, &schema, nil); err != nil {
			t.Fatal(err)
		}
		schemas[definition.Spec.Names.Kind] = &schema
	}
	checked := 0
	for _, object := range decode(t, Samples()) {
		gvk := object.GetObjectKind().GroupVersionKind()
		if gvk.Group != v1alpha1.Group {
			continue
		}
		checked++
		validator, _, err := schemavalidation.NewSchemaValidator(schemas[gvk.Kind])
		if err != nil {
			t.Fatal(err)
		}
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			t.Fatal(err)
		}
		delete(content, "status")
		if errs := schemavalidation.ValidateCustomResource(nil, content, validator); len(errs) > 0 {
			t.Errorf("%s: %v", identify(object), errs.ToAggregate())
		}
		if faults := validation.IsDNS1123Subdomain(object.(metav1.Object).GetName()); len(faults) > 0 {
			t.Errorf("%s: %v", identify(object), faults)
		}
	}
	if checked == 0 {
		t.Error("nothing was checked")
	}
}

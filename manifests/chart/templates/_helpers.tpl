{{/* Prefix of all names: the release's, with the chart's where it does not say inferno already. */}}
{{- define "inferno.fullname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Release.Name .Values.nameOverride }}
{{- if contains "inferno" $name }}{{ $name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-inferno" $name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}
{{- end }}

{{/* Call the following with (list . "optimizer"), the context and a component. */}}

{{- define "inferno.name" -}}
{{- include "inferno.fullname" (index . 0) }}-{{ index . 1 }}
{{- end }}

{{- define "inferno.account" -}}
{{- $c := index (index . 0).Values (index . 1) }}
{{- if $c.serviceAccount.create }}{{ default (include "inferno.name" .) $c.serviceAccount.name }}{{ else }}{{ default "default" $c.serviceAccount.name }}{{ end }}
{{- end }}

{{- define "inferno.selector" -}}
app.kubernetes.io/name: inferno-{{ index . 1 }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
{{- end }}

{{/* Labels of a component, those of (list . component extra) too. The chart's own win, for selectors go by them. */}}
{{- define "inferno.labels" -}}
{{- $own := dict "app.kubernetes.io/part-of" "inferno" "app.kubernetes.io/version" (index . 0).Chart.AppVersion }}
{{- $extra := dict }}{{ if gt (len .) 2 }}{{ $extra = index . 2 | default dict }}{{ end }}
{{- merge (include "inferno.selector" . | fromYaml) $own $extra ((index . 0).Values.commonLabels | default dict) | toYaml }}
{{- end }}

{{- define "inferno.image" -}}
{{- $root := index . 0 }}{{ $c := index $root.Values (index . 1) }}
{{- $name := printf "%s/%s" $root.Values.image.registry $c.image.repository }}
{{- if $c.image.digest }}{{ $name }}@{{ $c.image.digest }}{{ else }}{{ $name }}:{{ $c.image.tag | default $root.Values.image.tag | default $root.Chart.AppVersion }}{{ end }}
{{- end }}

{{/* Labels of what belongs to no component, those of (list . extra) too. */}}
{{- define "inferno.commonLabels" -}}
{{- $root := . }}{{ $extra := dict }}
{{- if kindIs "slice" . }}{{ $root = index . 0 }}{{ $extra = index . 1 | default dict }}{{ end }}
{{- $own := dict "app.kubernetes.io/name" "inferno" "app.kubernetes.io/instance" $root.Release.Name "app.kubernetes.io/part-of" "inferno" "app.kubernetes.io/version" $root.Chart.AppVersion }}
{{- merge $own $extra ($root.Values.commonLabels | default dict) | toYaml }}
{{- end }}

{{- define "inferno.priorityClass" -}}
{{- .Values.priorityClass.name | default (ternary (include "inferno.fullname" .) "" .Values.priorityClass.create) }}
{{- end }}

{{/* Metadata of a Deployment's pods. */}}
{{- define "inferno.podMetadata" -}}
{{- $root := index . 0 }}{{ $c := index $root.Values (index . 1) -}}
labels:
  {{- include "inferno.labels" (list $root (index . 1) $c.podLabels) | nindent 2 }}
{{- $own := dict "kubectl.kubernetes.io/default-container" (index . 1) }}
{{- if eq (index . 1) "scheduler" }}
{{- /* Another configuration takes other pods: kube-scheduler reads it at its start alone. */}}
{{- $_ := set $own "checksum/config" (list $c.profile $c.fallback $c.config | toJson | sha256sum) }}
{{- end }}
annotations:
  {{- merge $own $c.podAnnotations | toYaml | nindent 2 }}
{{- end }}

{{/* What all pods have in common: nobody's rights, and where to run. */}}
{{- define "inferno.podSpec" -}}
{{- $root := index . 0 }}{{ $c := index $root.Values (index . 1) -}}
serviceAccountName: {{ include "inferno.account" . }}
{{- with include "inferno.priorityClass" $root }}
priorityClassName: {{ . }}
{{- end }}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- if and $root.Values.podSecurity.user (not ($root.Capabilities.APIVersions.Has "security.openshift.io/v1")) }}
  runAsUser: {{ int64 $root.Values.podSecurity.user }}
  runAsGroup: {{ int64 $root.Values.podSecurity.user }}
  fsGroup: {{ int64 $root.Values.podSecurity.user }}
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- with $c.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $c.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $c.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- with $c.topologySpreadConstraints }}
  {{- toYaml . | nindent 2 }}
{{- else }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "inferno.selector" . | nindent 8 }}
{{- end }}
{{- end }}

{{/* What all containers have in common. */}}
{{- define "inferno.container" -}}
{{- $root := index . 0 }}{{ $c := index $root.Values (index . 1) -}}
image: {{ include "inferno.image" . }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
resources:
  {{- toYaml $c.resources | nindent 2 }}
env:
  {{- if and (eq (index . 1) "optimizer") (dig "requests" "memory" "" $c.resources) }}
  # The process keeps to what is requested, as far as that holds what is in use; the limit is for peaks.
  - name: GOMEMLIMIT
    valueFrom:
      resourceFieldRef: {resource: requests.memory}
  {{- else }}
  # The collector of garbage then works harder before the kernel ends the program.
  - name: GOMEMLIMIT
    valueFrom:
      resourceFieldRef: {resource: limits.memory}
  {{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- define "inferno.account.yaml" -}}
{{- $root := index . 0 }}{{ $c := index $root.Values (index . 1) }}
{{- if $c.serviceAccount.create }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "inferno.account" . }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "inferno.labels" . | nindent 4 }}
  {{- with $c.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
---
{{- end }}
{{- end }}

{{- define "inferno.pdb.yaml" -}}
{{- $root := index . 0 }}{{ $c := index $root.Values (index . 1) }}
{{- if and $c.podDisruptionBudget.enabled (gt (int $c.replicas) 1) }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "inferno.name" . }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "inferno.labels" . | nindent 4 }}
spec:
  minAvailable: {{ $c.podDisruptionBudget.minAvailable }}
  # A pod that is not ready serves nobody: a drain need not wait for it.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "inferno.selector" . | nindent 6 }}
{{- end }}
{{- end }}

{{/* Binding of a role to a component's account: (list . component kind-of-binding name namespace kind-of-role role). */}}
{{- define "inferno.binding.yaml" -}}
{{- $root := index . 0 }}{{ $who := list $root (index . 1) }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ index . 2 }}
metadata:
  name: {{ index . 3 }}
  {{- with index . 4 }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "inferno.labels" $who | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ index . 5 }}
  name: {{ index . 6 }}
subjects:
  - kind: ServiceAccount
    name: {{ include "inferno.account" $who }}
    namespace: {{ $root.Release.Namespace }}
{{- end }}

{{/* Right to a lease of a component's own name. A lease cannot be created by name, but be read and renewed. */}}
{{- define "inferno.lease.yaml" -}}
{{- $root := index . 0 }}{{ $name := include "inferno.name" . }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "inferno.labels" . | nindent 4 }}
rules:
  - apiGroups: [coordination.k8s.io]
    resources: [leases]
    verbs: [create]
  - apiGroups: [coordination.k8s.io]
    resources: [leases]
    resourceNames: [{{ $name }}]
    verbs: [get, update, patch]
{{- include "inferno.binding.yaml" (list $root (index . 1) "RoleBinding" $name $root.Release.Namespace "Role" $name) }}
{{- end }}

{{/* Whether the authority of Prometheus' certificate is given, and by what. */}}
{{- define "inferno.prometheusCA" -}}
{{- if .Values.prometheus.caSecret }}secret{{ else if .Values.prometheus.caConfigMap }}configMap{{ end }}
{{- end }}

{{- define "inferno.adapter.secret" -}}
{{- .Values.certificates.secretName | default (printf "%s-tls" (include "inferno.name" (list . "adapter"))) }}
{{- end }}

{{- define "inferno.keda.secret" -}}{{ include "inferno.fullname" . }}-keda-client{{- end }}

{{/* Name of the service of an APIService that another than this release's adapter has, as namespace/name; empty where nobody has it. */}}
{{- define "inferno.apiHolder" -}}
{{- $root := index . 0 }}
{{- $found := lookup "apiregistration.k8s.io/v1" "APIService" "" (index . 1) }}
{{- with $found }}
{{- $service := (.spec).service | default dict }}
{{- $holder := printf "%s/%s" (get $service "namespace") (get $service "name") }}
{{- if ne $holder (printf "%s/%s" $root.Release.Namespace (include "inferno.name" (list $root "adapter"))) }}{{ $holder }}{{ end }}
{{- end }}
{{- end }}

{{/* Whether to register for an API: "true" or empty. (list . "external" "v1beta1.external.metrics.k8s.io") */}}
{{- define "inferno.registers" -}}
{{- $root := index . 0 }}{{ $wanted := toString (index $root.Values.metrics (index . 1)) }}
{{- if and $root.Values.adapter.enabled (ne $wanted "false") (or (ne $root.Values.certificates.provider "own") $root.Values.certificates.caBundle) }}
{{- $holder := include "inferno.apiHolder" (list $root (index . 2)) }}
{{- if and $holder (eq $wanted "true") }}
{{- fail (printf "metrics.%s: true, but the APIService %s is led to %s: set metrics.%s to auto or false and let autoscalers use the other API, or remove what holds it" (index . 1) (index . 2) $holder (index . 1)) }}
{{- end }}
{{- if not $holder }}true{{ end }}
{{- end }}
{{- end }}

{{/* Who installed a definition, where it was another: empty where this release did, or it is not there. */}}
{{- define "inferno.crdHolder" -}}
{{- $found := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" "servers.inferno.platform.ai" }}
{{- with $found }}
{{- $a := (.metadata).annotations | default dict }}
{{- $release := printf "%s/%s" (get $a "meta.helm.sh/release-namespace") (get $a "meta.helm.sh/release-name") }}
{{- if eq $release "/" }}kubectl{{ else if ne $release (printf "%s/%s" $.Release.Namespace $.Release.Name) }}{{ $release }}{{ end }}
{{- end }}
{{- end }}

{{- /* What gates.add needs. */}}
{{- define "inferno.gates.check" }}
{{- if semverCompare "<1.36.0-0" .Capabilities.KubeVersion.Version }}
{{- fail (printf "gates.add: true needs MutatingAdmissionPolicies (Kubernetes 1.36), this is %s: set it to false, and put the gate inferno.platform.ai/placement into pod templates" .Capabilities.KubeVersion.Version) }}
{{- end }}
{{- end }}

{{/* Metrics by which the autoscalers of labelled workloads read plans: of the APIs that lead to the adapter, as far as this can be seen. */}}
{{- define "inferno.adoption.autoscalers" -}}
{{- if ne .Values.adoption.autoscalers "auto" }}{{ .Values.adoption.autoscalers }}
{{- else if not .Values.adapter.enabled }}none
{{- else if and (ne (toString .Values.metrics.external) "false") (not (include "inferno.apiHolder" (list . "v1beta1.external.metrics.k8s.io"))) }}external
{{- else if and (ne (toString .Values.metrics.custom) "false") (not (include "inferno.apiHolder" (list . "v1beta1.custom.metrics.k8s.io"))) }}custom
{{- else }}none
{{- end }}
{{- end }}

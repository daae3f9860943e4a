// Package validation finds the faults in the arguments of the scheduler plugin, all at once, each with its path and what is allowed.
package validation

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/llm-inferno/inferno/plugins/apis/config"
)

// InfernoArgs are checked after defaults are filled in. The errors start at path, which may be nil.
func InfernoArgs(path *field.Path, a *config.InfernoArgs) field.ErrorList {
	var faults field.ErrorList
	if !slices.Contains(config.FallbackPolicies(), a.Fallback) {
		faults = append(faults, field.NotSupported(path.Child("fallback"), a.Fallback, config.FallbackPolicies()))
	}
	if a.FallbackAfter.Duration <= 0 {
		faults = append(faults, field.Invalid(path.Child("fallbackAfter"), a.FallbackAfter.Duration.String(), "must be more than zero"))
	}
	if a.GroupTimeout.Duration <= 0 {
		faults = append(faults, field.Invalid(path.Child("groupTimeout"), a.GroupTimeout.Duration.String(), "must be more than zero"))
	}
	if a.SyncTimeout.Duration < 0 {
		faults = append(faults, field.Invalid(path.Child("syncTimeout"), a.SyncTimeout.Duration.String(), "must not be negative"))
	}
	return faults
}

package apiserver

import (
	"context"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// regardlessOfSelectors asks for the right to a metric and leaves out which of its values are selected.
//
// The library passes labelSelector on to the review of access, for it may narrow which objects somebody lists. Here it names labels of values,
// which no right is limited to; and since answers are remembered by the whole question, each autoscaler, with a selector of its own, would wait
// for reviews of its own. Without the selector more is asked for, so that nobody is allowed more.
func regardlessOfSelectors(inner authorizer.Authorizer) authorizer.Authorizer {
	return authorizer.AuthorizerFunc(func(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
		return inner.Authorize(ctx, unselective{a})
	})
}

// unselective attributes have no selectors.
type unselective struct{ authorizer.Attributes }

// GetFieldSelector implements authorizer.Attributes.
func (unselective) GetFieldSelector() (fields.Requirements, error) { return nil, nil }

// GetLabelSelector implements authorizer.Attributes.
func (unselective) GetLabelSelector() (labels.Requirements, error) { return nil, nil }

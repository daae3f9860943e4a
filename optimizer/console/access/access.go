// Package access asks the API server who looks at a console, and the servers of which namespaces they may list.
package access

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/console"
)

const (
	// remembered is how long an answer of the API server stands: who loses a right sees for so long what they saw.
	// Tuned: s; guard against an API server that is asked by every page every two seconds about every namespace
	remembered = 10 * time.Second
	// most people who are remembered.
	// Tuned: tokens; guard against tokens that fill the memory
	most = 256
	// timeout of a question to the API server.
	// Tuned: s; guard against one that does not answer
	timeout = 5 * time.Second
)

// Reviewer knows people by the bearer token of their requests.
type Reviewer struct {
	// Tokens and Reviews are what is asked: a client of everything would make a program of ten megabytes more.
	Tokens  authenticationclient.TokenReviewsGetter
	Reviews authorizationclient.SubjectAccessReviewsGetter
	Now     func() time.Time

	mu    sync.Mutex
	known map[[sha256.Size]byte]*person
}

var _ console.Rights = &Reviewer{}

// person and what they may, as far as that was asked.
type person struct {
	reviewer *Reviewer
	user     authenticationv1.UserInfo
	until    time.Time

	mu  sync.Mutex
	may map[string]bool
}

// Of who asks. Tokens are kept as digests.
func (r *Reviewer) Of(req *http.Request) (console.Allowed, error) {
	scheme, token, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return nil, errors.New("a bearer token of the cluster is needed")
	}
	key, now := sha256.Sum256([]byte(token)), r.Now()
	r.mu.Lock()
	p := r.known[key]
	r.mu.Unlock()
	if p != nil && now.Before(p.until) {
		return p, nil
	}
	user, err := r.authenticate(req.Context(), token)
	if err != nil {
		return nil, err
	}
	p = &person{reviewer: r, user: *user, until: now.Add(remembered), may: map[string]bool{}}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil || len(r.known) >= most {
		r.known = map[[sha256.Size]byte]*person{}
	}
	r.known[key] = p
	return p, nil
}

func (r *Reviewer) authenticate(ctx context.Context, token string) (*authenticationv1.UserInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	review, err := r.Tokens.TokenReviews().Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("the API server cannot be asked whose token it is: %w", err)
	}
	if !review.Status.Authenticated {
		return nil, errors.New("the API server does not know the token, or it has expired")
	}
	return &review.Status.User, nil
}

// All tells whether they may list Servers in all namespaces.
func (p *person) All() bool { return p.allowed("") }

// Namespace tells whether they may list the Servers of one; of no namespace only who may list all.
func (p *person) Namespace(name string) bool { return p.All() || name != "" && p.allowed(name) }

// allowed asks whether they may list Servers in a namespace, "" for all. What cannot be asked is not allowed.
func (p *person) allowed(namespace string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if may, asked := p.may[namespace]; asked {
		return may
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	extra := map[string]authorizationv1.ExtraValue{}
	for k, v := range p.user.Extra {
		extra[k] = authorizationv1.ExtraValue(v)
	}
	review, err := p.reviewer.Reviews.SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: p.user.Username, UID: p.user.UID, Groups: p.user.Groups, Extra: extra,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: "list", Group: v1alpha1.GroupVersion.Group, Resource: "servers"},
	}}, metav1.CreateOptions{})
	if err != nil {
		return false // and is asked again
	}
	p.may[namespace] = review.Status.Allowed
	return review.Status.Allowed
}

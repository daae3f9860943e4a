package access

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// reviewer over an API server that knows the token "mine", and may be away.
func reviewer(away *bool, asked *int) *Reviewer {
	client := fake.NewClientset()
	client.PrependReactor("create", "tokenreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		*asked++
		review := a.(clienttesting.CreateAction).GetObject().(*authenticationv1.TokenReview)
		if *away {
			return true, nil, errors.New("away")
		}
		if review.Spec.Token == "mine" {
			review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: "jane", Groups: []string{"team"}}}
		}
		return true, review, nil
	})
	client.PrependReactor("create", "subjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		*asked++
		review := a.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview)
		if *away {
			return true, nil, errors.New("away")
		}
		at := review.Spec.ResourceAttributes
		review.Status.Allowed = review.Spec.User == "jane" && at.Verb == "list" && at.Resource == "servers" && at.Group == "inferno.platform.ai" && at.Namespace == "own"
		return true, review, nil
	})
	return &Reviewer{Tokens: client.AuthenticationV1(), Reviews: client.AuthorizationV1(), Now: time.Now}
}

func asking(authorization string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://localhost/api/fleet", nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return r
}

// Whoever has no token that the API server knows is nobody; who has one may see what it says they may list, and nothing where it cannot be asked.
func TestRights(t *testing.T) {
	away, asked := false, 0
	r := reviewer(&away, &asked)
	for _, header := range []string{"", "Bearer", "Bearer ", "Basic mine", "Bearer other", "mine"} {
		if _, err := r.Of(asking(header)); err == nil {
			t.Errorf("%q is somebody", header)
		}
	}
	p, err := r.Of(asking("Bearer mine"))
	if err != nil {
		t.Fatal(err)
	}
	if p.All() || !p.Namespace("own") || p.Namespace("other") || p.Namespace("") {
		t.Error("may see other than their own namespace")
	}
	before := asked
	if p, err = r.Of(asking("bearer mine")); err != nil || !p.Namespace("own") || asked != before {
		t.Errorf("is asked about again: %v", err)
	}
	away = true
	if p.Namespace("third") {
		t.Error("may see what cannot be asked")
	}
	r.Now = func() time.Time { return time.Now().Add(time.Hour) }
	if _, err := r.Of(asking("Bearer mine")); err == nil {
		t.Error("an old answer stands while the API server is away")
	}
}

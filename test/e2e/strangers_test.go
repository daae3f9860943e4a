package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func named(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }

// refusesStrangers asks at the ports of all programs, past the API server: whoever is not known, or comes with a token for somebody else, or
// speaks old TLS, gets nothing; who is known gets what is theirs.
func refusesStrangers(s *system) {
	ctx := s.t.Context()
	account := func(name string, clusterRole, role string) {
		s.t.Helper()
		subject := []rbacv1.Subject{{Kind: "ServiceAccount", Name: name, Namespace: namespace}}
		_, err := s.Kube.CoreV1().ServiceAccounts(namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: named(name)}, metav1.CreateOptions{})
		if err == nil && clusterRole != "" {
			_, err = s.Kube.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
				ObjectMeta: named(name), Subjects: subject, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole},
			}, metav1.CreateOptions{})
		}
		if err == nil && role != "" {
			_, err = s.Kube.RbacV1().RoleBindings(namespace).Create(ctx, &rbacv1.RoleBinding{
				ObjectMeta: named(name), Subjects: subject, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			}, metav1.CreateOptions{})
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	account("scraper", "inferno-metrics-reader", "")
	account("viewer", "", "view") // which has inferno-view, by aggregation
	account("nobody", "", "")
	token := func(name string, audiences ...string) string {
		s.t.Helper()
		r, err := s.Kube.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences}}, metav1.CreateOptions{})
		if err != nil {
			s.t.Fatal(err)
		}
		return r.Status.Token
	}
	const elsewhere = "https://elsewhere.example"
	scraper, misled := token("scraper"), token("scraper", elsewhere)
	viewer, misledViewer, nobody := token("viewer"), token("viewer", elsewhere), token("nobody")
	replicas := func(namespace string) string {
		return "/apis/external.metrics.k8s.io/v1beta1/namespaces/" + namespace + "/inferno_desired_replicas?labelSelector=server%3Dchat"
	}

	type question struct {
		name, path, token string
		want              []int
	}
	// controller-runtime calls it an error of the server when a token is not known.
	refused := []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusInternalServerError}
	page := []question{
		{"anonymous", "/metrics", "", refused},
		{"a token that nobody issued", "/metrics", "made.up.token", refused},
		{"a token of another audience", "/metrics", misled, refused},
		{"a token without rights", "/metrics", nobody, []int{http.StatusForbidden}},
		{"a scraper", "/metrics", scraper, []int{http.StatusOK}},
	}
	plan := []question{
		{"anonymous for a plan", replicas(namespace), "", refused},
		{"a viewer's token of another audience", replicas(namespace), misledViewer, refused},
		{"an account without rights", replicas(namespace), nobody, []int{http.StatusForbidden}},
		{"a viewer", replicas(namespace), viewer, []int{http.StatusOK}},
		{"a viewer, elsewhere", replicas("kube-system"), viewer, []int{http.StatusForbidden}},
	}
	for program, questions := range map[string][]question{"inferno-adapter": append(plan, page...), "kube-scheduler": page, "inferno-optimizer": page} {
		address := s.portOf(program)
		for _, q := range questions {
			// Rights that were just given take a moment to arrive.
			s.eventually(fmt.Sprintf("%s, asked by %s, answers %v", program, q.name, q.want), func(context.Context) error {
				if code := get(address, q.path, q.token, tls.VersionTLS12); !slices.Contains(q.want, code) {
					return fmt.Errorf("status %d", code)
				}
				return nil
			})
		}
		if code := get(address, "/metrics", scraper, tls.VersionTLS11); code != 0 {
			s.t.Errorf("%s speaks TLS 1.1: status %d", program, code)
		}
		if response, err := http.Get("http://" + address + "/metrics"); err == nil {
			response.Body.Close()
			if response.StatusCode != http.StatusBadRequest {
				s.t.Errorf("%s speaks without TLS: status %d", program, response.StatusCode)
			}
		}
	}
}

var portFlag = regexp.MustCompile(`^--(?:secure-port=|metrics-bind-address=127\.0\.0\.1:)(\d+)$`)

// portOf a program's page of metrics, by its flags.
func (s *system) portOf(program string) string {
	s.t.Helper()
	args := s.Process(program).Args
	for _, a := range args {
		if m := portFlag.FindStringSubmatch(a); m != nil {
			return "127.0.0.1:" + m[1]
		}
	}
	s.t.Fatalf("%s has no port in %s", program, strings.Join(args, " "))
	return ""
}

// get a path with a version of TLS, and return the status; 0 where no connection came about.
func get(address, path, token string, version uint16) int {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true, MinVersion: version, MaxVersion: version, // whom it is about is the client here
	}}}
	request, err := http.NewRequest(http.MethodGet, fmt.Sprintf("https://%s%s", address, path), nil)
	if err != nil {
		return 0
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}

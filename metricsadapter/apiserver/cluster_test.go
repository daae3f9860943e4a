package apiserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// fakeCluster stands in for the API server of a cluster, as far as the adapter talks to one: it serves Servers by list and watch, tells who a
// token belongs to, and what they may do.
type fakeCluster struct {
	url        string
	frontProxy *authority
	// mayServe is closed when Servers may be listed and watched.
	mayServe chan struct{}

	mu       sync.Mutex
	reviews  int // of access to resources
	servers  []map[string]any
	watchers []chan map[string]any
}

// Users by token, and what each may do: alice reads metrics in the namespace llm, scraper reads the metrics page.
var users = map[string]string{"token-of-alice": "alice", "token-of-scraper": "scraper"}

func allowed(spec authorization.SubjectAccessReviewSpec) bool {
	switch {
	case spec.ResourceAttributes != nil:
		return spec.User == "alice" && spec.ResourceAttributes.Namespace == "llm" && spec.ResourceAttributes.Verb == "list" ||
			spec.User == "alice" && spec.ResourceAttributes.Namespace == "llm" && spec.ResourceAttributes.Verb == "get"
	case spec.NonResourceAttributes != nil:
		return spec.User == "scraper" && spec.NonResourceAttributes.Path == "/metrics" || spec.User == "alice"
	}
	return false
}

func newFakeCluster(t *testing.T) *fakeCluster {
	t.Helper()
	c := &fakeCluster{mayServe: make(chan struct{}), frontProxy: newAuthority(t, "front-proxy")}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /apis/authentication.k8s.io/v1/tokenreviews", c.reviewToken)
	mux.HandleFunc("POST /apis/authorization.k8s.io/v1/subjectaccessreviews", c.reviewAccess)
	mux.HandleFunc("GET /api/v1/namespaces/kube-system/configmaps", c.authenticationConfig)
	mux.HandleFunc("GET /api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication", c.authenticationConfig)
	mux.HandleFunc("GET /apis/inferno.platform.ai/v1alpha1/servers", c.serveServers)
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	c.url = server.URL
	return c
}

func (c *fakeCluster) reviewToken(w http.ResponseWriter, r *http.Request) {
	var review authentication.TokenReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	review.Status.User.Username, review.Status.Authenticated = users[review.Spec.Token], users[review.Spec.Token] != ""
	reply(w, review)
}

func (c *fakeCluster) reviewAccess(w http.ResponseWriter, r *http.Request) {
	var review authorization.SubjectAccessReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	review.Status.Allowed = allowed(review.Spec)
	if review.Spec.ResourceAttributes != nil {
		c.mu.Lock()
		c.reviews++
		c.mu.Unlock()
	}
	reply(w, review)
}

// authenticationConfig tells how the API server identifies itself and passes the user on.
func (c *fakeCluster) authenticationConfig(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("watch") != "" {
		if r.URL.Query().Get("sendInitialEvents") != "" {
			refuseWatchList(w)
			return
		}
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return
	}
	config := core.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "extension-apiserver-authentication", ResourceVersion: "1"},
		Data: map[string]string{
			"requestheader-client-ca-file":       string(c.frontProxy.pem),
			"requestheader-allowed-names":        `["front-proxy-client"]`,
			"requestheader-username-headers":     `["X-Remote-User"]`,
			"requestheader-group-headers":        `["X-Remote-Group"]`,
			"requestheader-extra-headers-prefix": `["X-Remote-Extra-"]`,
		},
	}
	if filepath.Base(r.URL.Path) == config.Name {
		reply(w, config)
		return
	}
	reply(w, core.ConfigMapList{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMapList"}, ListMeta: metav1.ListMeta{ResourceVersion: "1"},
		Items: []core.ConfigMap{config},
	})
}

// refuseWatchList makes a client fall back from streaming a list to asking for it.
func refuseWatchList(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnprocessableEntity)
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity,
		Reason: metav1.StatusReasonInvalid, Message: "sendInitialEvents is forbidden",
	})
}

func (c *fakeCluster) serveServers(w http.ResponseWriter, r *http.Request) {
	select {
	case <-c.mayServe:
	case <-r.Context().Done():
		return
	}
	if r.URL.Query().Get("sendInitialEvents") != "" {
		refuseWatchList(w)
		return
	}
	if r.URL.Query().Get("watch") == "" {
		c.mu.Lock()
		defer c.mu.Unlock()
		reply(w, map[string]any{
			"apiVersion": "inferno.platform.ai/v1alpha1", "kind": "ServerList", "metadata": map[string]any{"resourceVersion": "1"},
			"items": c.servers,
		})
		return
	}
	events := make(chan map[string]any, 100)
	c.mu.Lock()
	c.watchers = append(c.watchers, events)
	c.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	for {
		select {
		case event := <-events:
			_ = json.NewEncoder(w).Encode(event)
			w.(http.Flusher).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// notify tells the watchers that a Server has changed.
func (c *fakeCluster) notify(event string, server map[string]any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, watcher := range c.watchers {
		watcher <- map[string]any{"type": event, "object": server}
	}
}

// watched waits until the adapter watches.
func (c *fakeCluster) watched(t *testing.T) {
	t.Helper()
	eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.watchers) > 0
	})
}

func reply(w http.ResponseWriter, object any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(object)
}

// kubeconfig writes one that leads to the cluster.
func (c *fakeCluster) kubeconfig(t *testing.T) string {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["fake"] = &clientcmdapi.Cluster{Server: c.url}
	config.Contexts["fake"] = &clientcmdapi.Context{Cluster: "fake"}
	config.CurrentContext = "fake"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// serverObject is a Server as the API serves it, its plan confirmed just now.
func serverObject(namespace, name string, replicas any) map[string]any {
	return map[string]any{
		"apiVersion": "inferno.platform.ai/v1alpha1", "kind": "Server",
		"metadata": map[string]any{"namespace": namespace, "name": name, "resourceVersion": "2"},
		"spec": map[string]any{
			"model": "m", "serviceClass": "c",
			"scaleTargetRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
		},
		"status": map[string]any{"desired": map[string]any{
			"decidedAt": time.Now().UTC().Format(time.RFC3339), "confirmedAt": time.Now().UTC().Format(time.RFC3339),
			"staleAfterSeconds": 3600, "replicas": replicas,
		}},
	}
}

// eventually waits until the condition holds.
func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatal("gave up waiting")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{}
	template := certificateTemplate(name)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.key, a.pem = key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

// issue returns a certificate for a name, and its key, in PEM.
func (a *authority) issue(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	template := certificateTemplate(name)
	template.DNSNames = []string{name}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, private.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
}

// client returns a certificate for a client.
func (a *authority) client(t *testing.T, name string) tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(a.issue(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// write writes a certificate for a server to files.
func (a *authority) write(t *testing.T, name, certFile, keyFile string) {
	t.Helper()
	cert, key := a.issue(t, name)
	for path, data := range map[string][]byte{certFile: cert, keyFile: key} {
		if err := os.WriteFile(path+".new", data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
}

func certificateTemplate(name string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		panic(err)
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
}

package controlplane

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// statusServer answers every request with a status whose page says ok.
func statusServer(t *testing.T, status int) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte("ok")) // without a body for some statuses
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestServingCertificateIsTrustedForItsHosts(t *testing.T) {
	ca, err := newAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.server("adapter", "adapter.llm.svc", "10.1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{
		"adapter.llm.svc": true, "10.1.2.3": true, "localhost": true, "127.0.0.1": true, "other.llm.svc": false,
	} {
		_, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: ca.pool()})
		if (err == nil) != want {
			t.Errorf("%s: verified with error %v, want success = %v", host, err, want)
		}
	}
	other, err := newAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: "localhost", Roots: other.pool()}); err == nil {
		t.Error("another authority of the same name vouches for the certificate")
	}
}

func TestClientCertificateNamesUserAndGroups(t *testing.T) {
	ca, err := newAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.client("alice", "dev", "ops")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	if got := cert.Leaf.Subject.CommonName; got != "alice" {
		t.Errorf("user is %q, want alice", got)
	}
	groups := slices.Sorted(slices.Values(cert.Leaf.Subject.Organization))
	if diff := cmp.Diff([]string{"dev", "ops"}, groups); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	usages := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: ca.pool(), KeyUsages: usages}); err == nil {
		t.Error("a client's certificate passes for a server's")
	}
}

func TestPortsAreFreeAndClaimed(t *testing.T) {
	var a, b ports
	defer a.close()
	defer b.close()
	seen := map[int]bool{}
	for i := range 40 {
		from := &a
		if i%2 == 1 {
			from = &b
		}
		port, err := from.next()
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] {
			t.Errorf("port %d was given twice", port)
		}
		seen[port] = true
		l, err := net.Listen("tcp", loopback(port))
		if err != nil {
			t.Errorf("port %d is not free: %v", port, err)
			continue
		}
		l.Close()
	}
}

func TestNodesOfAPool(t *testing.T) {
	pools := map[string]struct {
		pool       NodePool
		wantLabels map[string]string
		wantGPUs   corev1.ResourceName
	}{
		"NVIDIA": {
			pool: NodePool{Name: "h100", Count: 2, GPU: H100, GPUsPerNode: 8, Labels: map[string]string{"zone": "a"}},
			wantLabels: map[string]string{
				"nvidia.com/gpu.present": "true", "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
				"nvidia.com/gpu.count": "8", "nvidia.com/gpu.memory": "81559", "zone": "a",
			},
			wantGPUs: "nvidia.com/gpu",
		},
		"AMD": {
			pool: NodePool{Name: "mi", Count: 2, GPU: MI300X, GPUsPerNode: 8},
			wantLabels: map[string]string{
				"feature.node.kubernetes.io/amd-gpu": "true",
				"amd.com/gpu.product-name":           "AMD_Instinct_MI300X_OAM", "amd.com/gpu.vram": "192G",
			},
			wantGPUs: "amd.com/gpu",
		},
		"another vendor": {
			pool: NodePool{Name: "gaudi", Count: 2, GPU: GPU{Product: "HL-225", Resource: "habana.ai/gaudi"}, GPUsPerNode: 8,
				Labels: map[string]string{"habana.ai/product": "HL-225"}},
			wantLabels: map[string]string{"habana.ai/product": "HL-225"},
			wantGPUs:   "habana.ai/gaudi",
		},
	}
	for name, test := range pools {
		t.Run(name, func(t *testing.T) {
			nodes, err := test.pool.nodes()
			if err != nil {
				t.Fatal(err)
			}
			if len(nodes) != 2 {
				t.Fatalf("%d nodes, want 2", len(nodes))
			}
			for i, node := range nodes {
				want := map[string]string{
					PoolLabel: test.pool.Name, "kubernetes.io/hostname": test.pool.Name + "-" + string(rune('0'+i)),
					"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
				}
				for k, v := range test.wantLabels {
					want[k] = v
				}
				if diff := cmp.Diff(want, node.Labels); diff != "" {
					t.Errorf("labels of %s (-want +got):\n%s", node.Name, diff)
				}
				gpus := node.Status.Allocatable[test.wantGPUs]
				if gpus.Value() != 8 {
					t.Errorf("%s offers %d %s, want 8", node.Name, gpus.Value(), test.wantGPUs)
				}
			}
		})
	}
}

func TestFaultsOfAPoolAreReportedTogether(t *testing.T) {
	_, err := NodePool{Name: "bad", Count: 0, GPU: L4, GPUsPerNode: -1, CPU: "many"}.nodes()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"count is 0", "GPUsPerNode is -1", `cpu is "many"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}

func TestStages(t *testing.T) {
	data, err := stages(90*time.Second, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), `// "90" | tonumber? // 90`) {
		t.Error("the default start-up time is not in the stages")
	}
	if !strings.Contains(string(data), `// "20" | tonumber? // 20`) {
		t.Error("the default shutdown time is not in the stages")
	}
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for range 5 {
		stage := struct{ Kind string }{}
		if err := decoder.Decode(&stage); err != nil || stage.Kind != "Stage" {
			t.Errorf("decoded kind %q with error %v, want a Stage", stage.Kind, err)
		}
	}
	for _, times := range [][2]time.Duration{{-time.Second, 0}, {0, -time.Second}} {
		if _, err := stages(times[0], times[1]); err == nil {
			t.Errorf("a negative time was accepted: %v", times)
		}
	}
}

func TestSchedulerConfig(t *testing.T) {
	tests := map[string]struct{ given, want, wantErr string }{
		"empty": {want: `{"apiVersion":"kubescheduler.config.k8s.io/v1","kind":"KubeSchedulerConfiguration",
			"clientConnection":{"kubeconfig":"/k","qps":200,"burst":400},"leaderElection":{"leaderElect":false}}`},
		"what is given stays": {
			given: "leaderElection: {leaderElect: true}\nclientConnection: {qps: 7}\nprofiles: [{schedulerName: inferno}]\n",
			want: `{"apiVersion":"kubescheduler.config.k8s.io/v1","kind":"KubeSchedulerConfiguration","profiles":[{"schedulerName":"inferno"}],
			"clientConnection":{"kubeconfig":"/k","qps":7,"burst":400},"leaderElection":{"leaderElect":true}}`},
		"no mapping":   {given: "clientConnection: 5", wantErr: "clientConnection is 5"},
		"not YAML":     {given: "a: [", wantErr: "scheduler configuration"},
		"given a list": {given: "[1]", wantErr: "scheduler configuration"},
		"given twice":  {given: "kind: a\nkind: b", wantErr: "kind"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			data, err := schedulerConfig([]byte(test.given), "/k")
			if test.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantErr) {
					t.Fatalf("error %v, want one that says %q", err, test.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got, want any
			if err := yaml.Unmarshal(data, &got); err != nil {
				t.Fatal(err)
			}
			if err := yaml.Unmarshal([]byte(test.want), &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzSchedulerConfig(f *testing.F) {
	f.Add([]byte("profiles: [{schedulerName: inferno}]\nclientConnection: {qps: 7}"))
	f.Add([]byte("clientConnection: null\nClientConnection: 0"))
	f.Fuzz(func(t *testing.T, given []byte) {
		data, err := schedulerConfig(given, "/k")
		if err != nil {
			return
		}
		var config map[string]any
		if err := yaml.Unmarshal(data, &config); err != nil {
			t.Fatal(err)
		}
		if connection, ok := config["clientConnection"].(map[string]any); !ok || connection["kubeconfig"] != "/k" {
			t.Errorf("from %q: client connection %v", given, config["clientConnection"])
		}
	})
}

func TestDecodeObjects(t *testing.T) {
	tests := map[string]struct {
		given    string
		want     []string
		wantErrs []string
	}{
		"nothing":       {given: "# only a comment\n---\n---\n"},
		"documents":     {given: "{apiVersion: v1, kind: A, metadata: {name: one}}\n---\n{apiVersion: v1, kind: B, metadata: {name: two}}", want: []string{"A one", "B two"}},
		"list":          {given: "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: A, metadata: {name: one}}]}", want: []string{"A one"}},
		"kustomization": {given: "{apiVersion: kustomize.config.k8s.io/v1beta1, kind: Kustomization}"},
		"JSON":          {given: `{"apiVersion":"v1","kind":"A","metadata":{"name":"one"}}`, want: []string{"A one"}},
		"all faults":    {given: "kind: A\n---\napiVersion: v1", wantErrs: []string{"document 1: apiVersion", "metadata.name", "document 2: kind"}},
		"not an object": {given: "- 1", wantErrs: []string{"document 1"}},
		"broken":        {given: "a: [", wantErrs: []string{"document 1"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			objects, err := decodeObjects([]byte(test.given))
			if (err != nil) != (len(test.wantErrs) > 0) {
				t.Fatalf("error %v, want one that says %q", err, test.wantErrs)
			}
			for _, want := range test.wantErrs {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
			if err != nil {
				return
			}
			var got []string
			for _, object := range objects {
				got = append(got, object.GetKind()+" "+object.GetName())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzDecodeObjects(f *testing.F) {
	f.Add([]byte("{apiVersion: v1, kind: List, items: [{kind: A}, 1]}\n---\na: ["))
	f.Add([]byte(`{"kind":"List","items":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, err := decodeObjects(data)
		if err != nil {
			return
		}
		for _, object := range objects {
			if object.GetKind() == "" || object.GetAPIVersion() == "" || object.GetName() == "" {
				t.Errorf("accepted an object without kind, apiVersion or name: %v", object)
			}
		}
	})
}

func TestAbandonedInstancesAreRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	abandoned, unlock, err := newInstanceDir()
	if err != nil {
		t.Fatal(err)
	}
	unlock() // as when its owner is killed
	live, unlock, err := newInstanceDir()
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	_, unlockAnother, err := newInstanceDir()
	if err != nil {
		t.Fatal(err)
	}
	defer unlockAnother()
	if _, err := os.Stat(abandoned); !os.IsNotExist(err) {
		t.Errorf("the abandoned directory is still there: %v", err)
	}
	if _, err := os.Stat(live); err != nil {
		t.Errorf("the directory of a live instance: %v", err)
	}
}

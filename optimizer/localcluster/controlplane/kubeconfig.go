package controlplane

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig writes a kubeconfig for a user and the groups it belongs to, and returns its path. The API server knows the
// user by a client certificate; what the user may do is up to RBAC.
func (p *Plane) Kubeconfig(user string, groups ...string) (path string, err error) {
	pair, err := p.ca.client(user, groups...)
	if err != nil {
		return "", fmt.Errorf("client certificate of %s: %w", user, err)
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["inferno"] = &clientcmdapi.Cluster{Server: p.url, CertificateAuthorityData: p.ca.pem}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: pair.Cert, ClientKeyData: pair.Key}
	config.Contexts["inferno"] = &clientcmdapi.Context{Cluster: "inferno", AuthInfo: user}
	config.CurrentContext = "inferno"
	path = filepath.Join(p.dir, fileName(user)+".kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return "", fmt.Errorf("kubeconfig of %s: %w", user, err)
	}
	return path, nil
}

// ServiceAccountKubeconfig writes a kubeconfig for a service account and returns its path. RBAC sees the same user and
// groups as with a token of that account, which need not exist.
func (p *Plane) ServiceAccountKubeconfig(namespace, name string) (path string, err error) {
	return p.Kubeconfig("system:serviceaccount:"+namespace+":"+name,
		"system:serviceaccounts", "system:serviceaccounts:"+namespace, "system:authenticated")
}

// fileName turns the name of a user into that of a file.
func fileName(user string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\: `, r) {
			return '-'
		}
		return r
	}, user)
}

// writeSecret writes a file that only this user may read.
func writeSecret(path string, data []byte) error { return os.WriteFile(path, data, 0o600) }

//go:build !unix

package controlplane

import "errors"

func lockFile(string) (unlock func(), err error) {
	return nil, errors.New("the local control plane needs a Unix system")
}

func isLocked(error) bool { return false }

//go:build !unix

package controlplane

import (
	"errors"
	"syscall"
)

var errNotUnix = errors.New("the local control plane needs a Unix system")

func childAttributes() *syscall.SysProcAttr { return nil }

func claimPort(int) (release func(), err error) { return nil, errNotUnix }

func lockFile(string) (unlock func(), err error) { return nil, errNotUnix }

func isLocked(error) bool { return false }

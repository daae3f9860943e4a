//go:build !linux

package controlplane

import "syscall"

// childAttributes: only Linux can end children with a parent that is killed.
func childAttributes() *syscall.SysProcAttr { return nil }

// claimPort claims nothing: abstract sockets exist on Linux only.
func claimPort(int) (release func(), err error) { return func() {}, nil }

//go:build unix && !linux

package controlplane

import "syscall"

// childAttributes keeps the Ctrl-C meant for this process from its children, so that it can end them in order. Only
// Linux could also end them with a parent that is killed.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// claimPort claims nothing: abstract sockets exist on Linux only.
func claimPort(int) (release func(), err error) { return func() {}, nil }

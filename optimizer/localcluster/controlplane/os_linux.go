package controlplane

import (
	"fmt"
	"net"
	"syscall"
)

// childAttributes ties a child to this process: it dies when its parent does, and the Ctrl-C meant for the parent does
// not reach it, so that the parent can end its children in order.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// claimPort keeps other planes from choosing the port before its server has bound it, or while that server restarts.
// The claim is an abstract socket, which the kernel releases with its holder.
func claimPort(port int) (release func(), err error) {
	l, err := net.Listen("unix", fmt.Sprintf("@inferno-controlplane-port-%d", port))
	if err != nil {
		return nil, err
	}
	return func() { _ = l.Close() }, nil
}

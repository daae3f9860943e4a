// Package loopback tells hosts that are this machine, and no other, by their names.
package loopback

import (
	"net"
	"strings"
)

// Host tells whether a host, with or without a port, is this machine by a name or address that nobody else can have.
func Host(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if name == "localhost" {
		return true
	}
	if strings.HasPrefix(name, "[") && strings.HasSuffix(name, "]") {
		name = name[1 : len(name)-1]
	}
	ip := net.ParseIP(name)
	return ip != nil && ip.IsLoopback()
}

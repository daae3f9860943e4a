package controlplane

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports are chosen below the ephemeral range of Linux (32768 and up), where an outgoing connection could take the port
// of a server that is about to start, or to restart.
const (
	lowestPort  = 20000
	highestPort = 32000
	portTries   = 200
)

// ports hands out free loopback ports and keeps them claimed until it is closed.
type ports struct {
	releases []func()
}

// next returns a port that nothing listens on and that no other plane has claimed.
func (p *ports) next() (int, error) {
	for range portTries {
		port := lowestPort + rand.IntN(highestPort-lowestPort)
		release, err := claimPort(port)
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", loopback(port))
		if err != nil {
			release()
			continue
		}
		if err := l.Close(); err != nil {
			release()
			return 0, err
		}
		p.releases = append(p.releases, release)
		return port, nil
	}
	return 0, errors.New("no free port on the loopback address")
}

func (p *ports) close() {
	for _, release := range p.releases {
		release()
	}
	p.releases = nil
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

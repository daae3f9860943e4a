// Package node joins this machine to a local control plane as a real node, beside the simulated ones: containerd with runc and the network plugins
// that are installed, kubelet, kube-proxy and the cluster's DNS built as the control plane is, and images from a registry in this process. Pods
// that run on it are real; what makes accelerators of it is what the caller advertises on the node.
//
//	machine, err := node.Prepare()
//	if err != nil { ... }
//	defer machine.Leave()
//	plane, err := controlplane.Start(ctx, controlplane.Options{Address: node.Address})
//	...
//	err = machine.Join(ctx, plane, images)
//
// A machine is one node at a time, and of one cluster. It needs Linux and root. Everything that it makes has a name or a folder of its own, and
// [Machine.Leave] takes it away; what a killed process left, the next [Prepare] does.
package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
)

// Names of what a node has on its machine.
const (
	// Name of the node.
	Name = "inferno-node"
	// Address at which pods and machine reach each other: that of the bridge which connects the pods, out of their network.
	Address = "10.64.0.1"

	prefix  = 24
	network = "10.64.0.0/24"
	bridge  = "inferno0"
	// root is the folder of what is large, on a file system that overlayfs can stand on; state that of sockets and mounts.
	root  = "/var/lib/inferno-node"
	state = "/run/inferno-node"
	// socket of containerd, by which its shims are recognised.
	socket = state + "/containerd.sock"
	// group of all processes of pods.
	group = "inferno-node"
)

// tools that must be installed, by their Debian packages.
var tools = []struct{ command, debian string }{
	{"containerd", "containerd"}, {"containerd-shim-runc-v2", "containerd"}, {"runc", "runc"}, {"nft", "nftables"}, {"ip", "iproute2"}, {"umount", "mount"},
}

// plugins of the pods' network, in one of the folders where distributions have them.
var (
	plugins     = []string{"bridge", "host-local", "loopback", "portmap"}
	pluginPaths = []string{"/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"}
)

// Capabilities of Linux that a node needs, by their number in include/uapi/linux/capability.h.
var capabilities = []struct {
	name string
	bit  int
}{{"CAP_NET_ADMIN", 12}, {"CAP_SYS_ADMIN", 21}, {"CAP_MKNOD", 27}}

// Check returns everything for which this machine cannot be a node.
func Check() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("a real node needs Linux, this is %s", runtime.GOOS)
	}
	var faults []error
	if os.Geteuid() != 0 {
		faults = append(faults, errors.New("a real node needs root"))
	} else if held, err := heldCapabilities(); err != nil {
		faults = append(faults, err)
	} else {
		for _, c := range capabilities {
			if held&(1<<c.bit) == 0 {
				faults = append(faults, fmt.Errorf("a real node needs %s, which this process lacks (as in a container without privileges)", c.name))
			}
		}
	}
	var missing, packages []string
	need := func(what, debian string) {
		missing = append(missing, what)
		if !slices.Contains(packages, debian) {
			packages = append(packages, debian)
		}
	}
	for _, t := range tools {
		if _, err := exec.LookPath(t.command); err != nil {
			need(t.command, t.debian)
		}
	}
	if pluginPath() == "" {
		need(fmt.Sprintf("the network plugins %s in one of %s", strings.Join(plugins, ", "), strings.Join(pluginPaths, ", ")), "containernetworking-plugins")
	}
	if len(missing) > 0 {
		faults = append(faults, fmt.Errorf("not installed: %s; on Debian: apt-get install %s", strings.Join(missing, ", "), strings.Join(packages, " ")))
	}
	for _, p := range processes() {
		if name := filepath.Base(p.command[0]); slices.Contains([]string{"kubelet", "k3s", "k0s"}, name) && !p.mentions(root) {
			faults = append(faults, fmt.Errorf("%s runs (pid %d): this machine is a node of a cluster already", name, p.pid))
		}
	}
	return errors.Join(faults...)
}

func heldCapabilities() (uint64, error) {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if text, is := strings.CutPrefix(line, "CapEff:"); is {
			return strconv.ParseUint(strings.TrimSpace(text), 16, 64)
		}
	}
	return 0, errors.New("/proc/self/status says nothing of capabilities")
}

// pluginPath is the folder with the network plugins, empty where none has all.
func pluginPath() string {
	for _, dir := range pluginPaths {
		if !slices.ContainsFunc(plugins, func(p string) bool { _, err := os.Stat(filepath.Join(dir, p)); return err != nil }) {
			return dir
		}
	}
	return ""
}

// Machine is this machine while it is a node, or about to be one.
type Machine struct {
	unlock    func()
	processes []*controlplane.Process
	stop      func() // what runs in this process
}

// settings of the kernel that kubelet, kube-proxy and the bridge change. They are put back.
var settings = []string{
	"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
	"net/ipv4/ip_forward", "net/ipv4/conf/all/route_localnet", "net/ipv6/conf/all/forwarding",
}

// folders that kubelet, containerd and the network's library make where no configuration can move them. They go where they were not there before.
var folders = []string{
	"/var/log/containers", "/var/log/pods", "/var/lib/kubelet", "/var/lib/cni", "/run/containerd", "/run/netns", "/opt/containerd", "/opt/cni", "/etc/cni", "/run/cni", "/run/flannel",
}

// before is how the machine was: what must be as it was in the end, even if this process is killed.
type before struct {
	Settings map[string]string
	Absent   []string
}

var beforeFile = filepath.Join(state, "before.json")

// Prepare makes the bridge, whose address a control plane must serve at before the machine can join it. The error says everything that is
// missing for that.
func Prepare() (*Machine, error) {
	if err := Check(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(state, 0o755); err != nil {
		return nil, err
	}
	unlock, err := controlplane.Lock(state + ".lock")
	if err != nil {
		return nil, fmt.Errorf("this machine is a node of another local cluster: %w", err)
	}
	m := &Machine{unlock: unlock}
	if err := m.prepare(); err != nil {
		return nil, errors.Join(err, m.Leave())
	}
	return m, nil
}

func (m *Machine) prepare() error {
	if err := restore(); err != nil { // what a killed one left
		return err
	}
	if err := note(); err != nil {
		return err
	}
	for _, h := range hierarchies() {
		if err := os.MkdirAll(filepath.Join(h, group), 0o755); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
		{"link", "add", bridge, "type", "bridge"}, {"addr", "add", fmt.Sprintf("%s/%d", Address, prefix), "dev", bridge}, {"link", "set", bridge, "up"},
	} {
		if err := run("ip", args...); err != nil {
			return err
		}
	}
	return nil
}

// note how the machine is.
func note() error {
	b := before{Settings: map[string]string{}}
	for _, name := range settings {
		if data, err := os.ReadFile(filepath.Join("/proc/sys", name)); err == nil { // not every kernel has all
			b.Settings[name] = strings.TrimSpace(string(data))
		}
	}
	for _, dir := range folders {
		if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
			b.Absent = append(b.Absent, dir)
		}
	}
	data, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(state, 0o755), os.WriteFile(beforeFile, data, 0o600))
}

// Leave ends all pods and everything that ran them, and takes away what was made. It comes before the end of the control plane.
func (m *Machine) Leave() error {
	if m.stop != nil {
		m.stop()
	}
	for _, p := range slices.Backward(m.processes) {
		p.Stop()
	}
	err := restore()
	m.unlock()
	return errors.Join(err, os.Remove(state+".lock"))
}

// restore the machine: no process, mount, network, group or file of a node is left. Where nothing is there it does nothing.
func restore() error {
	data, err := os.ReadFile(beforeFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var b before
	if err == nil {
		err = json.Unmarshal(data, &b)
	}
	if err != nil {
		return fmt.Errorf("how this machine was before it was a node: %w", err)
	}
	faults := []error{endProcesses(), unmount(), removeNetwork(), removeGroups(), removeLogs()}
	for name, value := range b.Settings {
		faults = append(faults, putBack(filepath.Join("/proc/sys", name), value))
	}
	for _, dir := range append(b.Absent, root) {
		faults = append(faults, os.RemoveAll(dir))
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("taking the node away: %w", err)
	}
	return os.RemoveAll(state)
}

// putBack a setting of the kernel where it is another.
func putBack(file, value string) error {
	if data, err := os.ReadFile(file); err != nil || strings.TrimSpace(string(data)) == value {
		return err
	}
	return os.WriteFile(file, []byte(value), 0o644)
}

// run a command; the error has what it says.
func run(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

package node

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// patience with what the kernel takes away by itself once nobody uses it.
const patience = 30 * time.Second

// process that runs on this machine.
type process struct {
	pid     int
	command []string
}

// mentions a text in one of its arguments.
func (p process) mentions(text string) bool {
	return slices.ContainsFunc(p.command, func(arg string) bool { return strings.Contains(arg, text) })
}

// processes of this machine that have a command line, this one not among them.
func processes() []process {
	var list []process
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		data, errRead := os.ReadFile(file)
		if err != nil || errRead != nil || len(data) == 0 || pid == os.Getpid() {
			continue
		}
		list = append(list, process{pid, strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")})
	}
	return list
}

// endProcesses of pods, and the shims of containerd that outlive it.
func endProcesses() error {
	return eventually("processes of pods are left", func() (left []string) {
		pids := map[int]bool{}
		for _, p := range processes() {
			if strings.HasPrefix(filepath.Base(p.command[0]), "containerd-shim") && p.mentions(socket) {
				pids[p.pid] = true
			}
		}
		for _, h := range hierarchies() {
			for _, dir := range groups(filepath.Join(h, group)) {
				data, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs")) // gone meanwhile
				for _, line := range strings.Fields(string(data)) {
					if pid, err := strconv.Atoi(line); err == nil && pid > 1 && pid != os.Getpid() {
						pids[pid] = true
					}
				}
			}
		}
		for pid := range pids {
			if p, err := os.FindProcess(pid); err == nil && p.Kill() == nil {
				left = append(left, strconv.Itoa(pid))
			}
		}
		return left
	})
}

// unmount everything below the folders of the node, the last mounts first.
func unmount() error {
	return eventually("mounts are left", func() (left []string) {
		for _, dir := range slices.Backward(mounts()) {
			if err := exec.Command("umount", dir).Run(); err != nil {
				left = append(left, dir)
			}
		}
		return left
	})
}

// mounts below the folders of the node, in the order in which they were made.
func mounts() []string {
	var list []string
	data, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		dir := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\134`, `\`).Replace(fields[4])
		if below(dir, root) || below(dir, state) {
			list = append(list, dir)
		}
	}
	return list
}

func below(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// removeNetwork takes away the bridge, the pods' ends of it that are left, and the tables of kube-proxy.
func removeNetwork() error {
	var faults []error
	links, _ := filepath.Glob("/sys/class/net/" + bridge + "/brif/*")
	for _, link := range links {
		name := filepath.Base(link)
		if err := run("ip", "link", "del", name); err != nil && exists(link) { // they go by themselves with the pods' networks
			faults = append(faults, err)
		}
	}
	if exists("/sys/class/net/" + bridge) {
		faults = append(faults, run("ip", "link", "del", bridge))
	}
	for _, family := range []string{"ip", "ip6"} {
		if exec.Command("nft", "list", "table", family, "kube-proxy").Run() == nil {
			faults = append(faults, run("nft", "delete", "table", family, "kube-proxy"))
		}
	}
	return errors.Join(faults...)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// hierarchies of control groups: the one of version 2, or those of version 1.
func hierarchies() []string {
	const top = "/sys/fs/cgroup"
	if exists(filepath.Join(top, "cgroup.controllers")) {
		return []string{top}
	}
	var list []string
	entries, _ := os.ReadDir(top)
	for _, e := range entries {
		if e.IsDir() && exists(filepath.Join(top, e.Name(), "cgroup.procs")) { // links are second names
			list = append(list, filepath.Join(top, e.Name()))
		}
	}
	return list
}

// groups below one, itself among them, the deepest first.
func groups(dir string) []string {
	var list []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			list = append(list, path)
		}
		return nil // one that has gone is no fault
	})
	slices.SortFunc(list, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return list
}

func removeGroups() error {
	return eventually("control groups are left", func() (left []string) {
		for _, h := range hierarchies() {
			for _, dir := range groups(filepath.Join(h, group)) {
				if err := os.Remove(dir); err != nil && exists(dir) {
					left = append(left, dir)
				}
			}
		}
		return left
	})
}

// removeLogs that kubelet links to where collectors look for them.
func removeLogs() error {
	var faults []error
	links, _ := filepath.Glob("/var/log/containers/*")
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && below(target, root) {
			faults = append(faults, os.Remove(link))
		}
	}
	return errors.Join(faults...)
}

// eventually nothing is left of what act takes away.
func eventually(what string, act func() (left []string)) error {
	deadline := time.Now().Add(patience)
	for {
		left := act()
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s after %s: %s", what, patience, strings.Join(left, ", "))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

package controlplane

import (
	"os"
	"path/filepath"
)

// Instance directories are recognised by this prefix of their name.
const instancePrefix = "inferno-controlplane-"

// newInstanceDir creates and locks an instance directory, and removes those that killed processes left behind: an
// instance directory whose lock is free has no owner.
func newInstanceDir() (dir string, unlock func(), err error) {
	removeAbandoned()
	// Its name begins with the prefix only once it is locked, so that nobody takes it for abandoned before.
	fresh, err := os.MkdirTemp("", "new-"+instancePrefix)
	if err != nil {
		return "", nil, err
	}
	unlock, err = lockFile(filepath.Join(fresh, "lock"))
	if err != nil {
		os.RemoveAll(fresh)
		return "", nil, err
	}
	dir = filepath.Join(filepath.Dir(fresh), filepath.Base(fresh)[len("new-"):])
	if err := os.Rename(fresh, dir); err != nil {
		unlock()
		os.RemoveAll(fresh)
		return "", nil, err
	}
	return dir, unlock, nil
}

func removeAbandoned() {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), instancePrefix+"*", "lock"))
	if err != nil {
		return
	}
	for _, lock := range dirs {
		if unlock, err := lockFile(lock); err == nil {
			os.RemoveAll(filepath.Dir(lock))
			unlock()
		}
	}
}

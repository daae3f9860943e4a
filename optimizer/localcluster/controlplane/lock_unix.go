//go:build unix

package controlplane

import (
	"errors"
	"os"
	"syscall"
)

// lockFile takes an exclusive lock on a file, which is created if needed, and holds it until unlock or the end of this
// process. It fails at once when the lock is held already.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	return func() { f.Close() }, nil
}

// isLocked says whether err, from lockFile, means that another holds the lock.
func isLocked(err error) bool { return errors.Is(err, syscall.EWOULDBLOCK) }

package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Program is one of inferno's own programs that a stack runs.
type Program string

// The programs of a stack.
const (
	Optimizer Program = "inferno-optimizer"
	Adapter   Program = "inferno-adapter"
	Scheduler Program = "inferno-scheduler"
)

var programs = []Program{Optimizer, Adapter, Scheduler}

// module that the programs belong to.
const module = "github.com/llm-inferno/inferno"

// findPrograms returns where each program is: in dir where one is given, else beside the running executable, else on the PATH.
func findPrograms(dir string) (map[Program]string, error) {
	paths := map[Program]string{}
	var missing []string
	for _, p := range programs {
		path, err := findProgram(dir, string(p))
		if err != nil {
			missing = append(missing, string(p))
		}
		paths[p] = path
	}
	if len(missing) > 0 {
		where := "beside this program or on the PATH"
		if dir != "" {
			where = "in " + dir
		}
		return nil, fmt.Errorf("%s not found %s; make build builds them", strings.Join(missing, ", "), where)
	}
	return paths, nil
}

func findProgram(dir, name string) (string, error) {
	if dir != "" {
		path, err := filepath.Abs(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		_, err = os.Stat(path)
		return path, err
	}
	if self, err := os.Executable(); err == nil {
		path := filepath.Join(filepath.Dir(self), name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return exec.LookPath(name)
}

// Build builds inferno's programs from the module that contains the working directory into dir. It takes minutes the first time, and seconds
// once the build cache is warm.
func Build(ctx context.Context, dir string, progress io.Writer) error {
	fmt.Fprintln(progress, "building inferno's programs (some minutes the first time)")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	args := []string{"build", "-o", dir + string(filepath.Separator)}
	for _, p := range programs {
		args = append(args, module+"/cmd/"+string(p))
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stdout, cmd.Stderr = progress, progress
	if err := cmd.Run(); err != nil {
		return errors.Join(errors.New("building inferno's programs"), err)
	}
	return nil
}

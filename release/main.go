// Command release makes what a release of inferno consists of. Makefile has the targets.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// commands by name.
var commands = map[string]func(ctx context.Context, args []string) error{
	"images": runImages, "template": runTemplate, "generate": runGenerate,
	"all": runAll, "key": runKey, "verify": runVerify,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "release: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		if command := commands[args[0]]; command != nil {
			return command(ctx, args[1:])
		}
	}
	return fmt.Errorf("command %q is not allowed, must be one of images, template, generate, all, key, verify (-h after one says its flags)", strings.Join(args[:min(1, len(args))], ""))
}

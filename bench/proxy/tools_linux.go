package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/weirlb/weir/bench/internal/load"
	"github.com/weirlb/weir/bench/internal/origin"
	"github.com/weirlb/weir/bench/internal/poll"
	"github.com/weirlb/weir/bench/internal/tunnel"
)

// tools are what this program starts itself as: each needs a process, and a
// core, of its own. Their arguments come from the driver.
var tools = map[string]func(args []string) error{
	"pin":    pin,
	"origin": runOrigin,
	"floor":  runFloor,
	"load":   runLoad,
}

// pin becomes another program that runs on some cores and may open as many
// files as the system allows: pin CORE[,CORE...] PROGRAM [ARGUMENT...].
func pin(args []string) error {
	if len(args) < 2 {
		return errors.New("pin: want cores and a program")
	}
	var cores []int
	for item := range strings.SplitSeq(args[0], ",") {
		core, err := strconv.Atoi(item)
		if err != nil {
			return fmt.Errorf("pin: core: %w", err)
		}
		cores = append(cores, core)
	}
	path, err := exec.LookPath(args[1])
	if err != nil {
		return err
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("reading the limit of open files: %w", err)
	}
	files.Cur = files.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("raising the limit of open files: %w", err)
	}
	runtime.LockOSThread() // the affinity is the thread's, and the thread's is what exec keeps
	if err := setCores(0, cores...); err != nil {
		return err
	}
	return fmt.Errorf("starting %s: %w", path, syscall.Exec(path, args[1:], os.Environ()))
}

// setCores lets a thread, 0 for the calling one, run on these cores only.
func setCores(thread int, cores ...int) error {
	var set unix.CPUSet
	for _, core := range cores {
		set.Set(core)
	}
	if err := unix.SchedSetaffinity(thread, &set); err != nil {
		return fmt.Errorf("pinning to cores %v: %w", cores, err)
	}
	return nil
}

// runOrigin prints its ports as a JSON list and serves: origin COUNT.
func runOrigin(args []string) error {
	poll.Quiet()
	if len(args) != 1 {
		return errors.New("origin: want a number of ports")
	}
	count, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	server, err := origin.Listen(count)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(server.Ports()); err != nil {
		return err
	}
	return server.Serve(context.Background())
}

// runFloor tunnels: floor PORT TARGET...
func runFloor(args []string) error {
	poll.Quiet()
	ports := make([]int, len(args))
	for i, arg := range args {
		var err error
		if ports[i], err = strconv.Atoi(arg); err != nil {
			return err
		}
	}
	if len(ports) < 2 {
		return errors.New("floor: want a port and its targets' ports")
	}
	server, err := tunnel.Listen(ports[0], ports[1:])
	if err != nil {
		return err
	}
	return server.Serve(context.Background())
}

// runLoad takes load.Options as JSON and prints its load.Result as JSON.
func runLoad(args []string) error {
	poll.Quiet()
	if len(args) != 1 {
		return errors.New("load: want its options as JSON")
	}
	var options load.Options
	if err := json.Unmarshal([]byte(args[0]), &options); err != nil {
		return fmt.Errorf("load: options: %w", err)
	}
	result, err := load.Run(options)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

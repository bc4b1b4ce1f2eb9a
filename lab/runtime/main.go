// Command runc-within-limits is an OCI runtime for machines that lack CAP_SYS_RESOURCE: it takes out of the bundle what
// runc could not apply there (that capability, and the OOM score), then becomes runc. Where the capability is there it
// becomes runc at once, so that one image serves both kinds of machines.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

const capSysResource = 24

func main() {
	if !hasSysResource() {
		bundle, process := paths(os.Args[1:])
		if bundle != "" {
			edit(bundle+"/config.json", func(spec map[string]any) {
				if p, ok := spec["process"].(map[string]any); ok {
					restrict(p)
				}
			})
		}
		// `exec` passes capabilities in a file of its own, not in the bundle.
		if process != "" {
			edit(process, restrict)
		}
	}
	runc, err := exec.LookPath("runc")
	if err != nil {
		runc = "/usr/sbin/runc"
	}
	err = syscall.Exec(runc, append([]string{"runc"}, os.Args[1:]...), os.Environ())
	fmt.Fprintf(os.Stderr, "%s: %v\n", runc, err)
	os.Exit(1)
}

// hasSysResource looks at the bounding set: what it lacks cannot be given to a container.
func hasSysResource() bool {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return true
	}
	for _, line := range strings.Split(string(status), "\n") {
		if value, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			bits, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			return err != nil || bits&(1<<capSysResource) != 0
		}
	}
	return true
}

func paths(args []string) (bundle, process string) {
	for i, arg := range args {
		name, value, joined := strings.Cut(arg, "=")
		if !joined && i+1 < len(args) {
			value = args[i+1]
		}
		switch name {
		case "--bundle", "-b":
			bundle = value
		case "--process", "-p":
			process = value
		}
	}
	return bundle, process
}

func restrict(process map[string]any) {
	delete(process, "oomScoreAdj")
	sets, ok := process["capabilities"].(map[string]any)
	if !ok {
		return
	}
	for name, set := range sets {
		list, ok := set.([]any)
		if !ok {
			continue
		}
		kept := []any{}
		for _, capability := range list {
			if capability != "CAP_SYS_RESOURCE" {
				kept = append(kept, capability)
			}
		}
		sets[name] = kept
	}
}

// edit changes a JSON file in place: a file that is not there or is no JSON is runc's to complain about.
func edit(path string, change func(map[string]any)) {
	data, err := os.ReadFile(path)
	if err != nil {
		return
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var document map[string]any
	if decoder.Decode(&document) != nil {
		return
	}
	change(document)
	if data, err = json.Marshal(document); err == nil {
		_ = os.WriteFile(path, data, 0o600)
	}
}

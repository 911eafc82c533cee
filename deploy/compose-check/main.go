// Command compose-check loads a compose file by compose-go, the loader of docker compose itself, and checks what the loader lets
// pass: what others could reach, what has no limit, what is not pinned, what is written down that should not be.
//
//	compose-check [-env FILE] [-memory MIB] docker-compose.yaml
//
// It prints what it has found as one JSON document and ends with 0; or every problem as a line on standard error, and ends with 1.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// Report is what a good file says.
type Report struct {
	// Services of all profiles.
	Services []string `json:"services"`
	// Small are the services that run without a profile.
	Small []string `json:"small"`
	// SmallMiB is the sum of the memory limits of Small.
	SmallMiB int64 `json:"small_mib"`
	// AllMiB is that of all services.
	AllMiB int64 `json:"all_mib"`
	// Mounts are the files and folders of the project that are mounted, relative to it.
	Mounts []string `json:"mounts"`
}

func main() {
	env := flag.String("env", "", "file with the variables; .env beside the compose file if left out")
	memory := flag.Int64("memory", 4096, "what the memory limits without a profile may add up to, in MiB")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "error: name one compose file")
		os.Exit(2)
	}
	report, problems := check(flag.Arg(0), *env, *memory)
	if len(problems) > 0 {
		sort.Strings(problems)
		for _, problem := range problems {
			fmt.Fprintln(os.Stderr, "error:", problem)
		}
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func check(file, env string, memory int64) (Report, []string) {
	// Every profile is loaded by itself too: what it needs from another one would be missing there.
	all, err := load(file, env, "*")
	if err != nil {
		return Report{}, []string{err.Error()}
	}
	small, err := load(file, env)
	if err != nil {
		return Report{}, []string{"without a profile: " + err.Error()}
	}
	var problems []string
	for _, profile := range profiles(all) {
		if _, err := load(file, env, profile); err != nil {
			problems = append(problems, fmt.Sprintf("profile %s: %s", profile, err))
		}
	}
	problems = append(problems, reachable(all)...)
	for _, service := range all.Services {
		for _, problem := range ofService(all, service) {
			problems = append(problems, fmt.Sprintf("service %s: %s", service.Name, problem))
		}
	}
	literals, err := secrets(file)
	if err != nil {
		return Report{}, []string{err.Error()}
	}
	problems = append(problems, literals...)
	report := Report{
		Services: all.ServiceNames(),
		Small:    small.ServiceNames(),
		SmallMiB: limits(small),
		AllMiB:   limits(all),
		Mounts:   mounts(all),
	}
	if report.SmallMiB > memory {
		problems = append(problems, fmt.Sprintf(
			"the memory limits of what runs without a profile add up to %d MiB, more than %d: lower one, or give a service a profile",
			report.SmallMiB, memory))
	}
	return report, problems
}

func load(file, env string, profiles ...string) (*types.Project, error) {
	var files []string
	if env != "" {
		files = []string{env}
	}
	options, err := cli.NewProjectOptions([]string{file},
		cli.WithInterpolation(true), cli.WithProfiles(profiles), cli.WithEnvFiles(files...), cli.WithDotEnv)
	if err != nil {
		return nil, err
	}
	return options.LoadProject(context.Background())
}

func profiles(project *types.Project) []string {
	known := map[string]bool{}
	for _, service := range project.Services {
		for _, profile := range service.Profiles {
			known[profile] = true
		}
	}
	names := make([]string, 0, len(known))
	for name := range known {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

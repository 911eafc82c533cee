package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

const (
	// jobLabel is at services that run to their end: they have no health, and what waits for them waits for their end.
	jobLabel = "updraft.job"
	// ours is what the names of the images begin with that this project makes.
	ours = "updraft"
	mib  = 1 << 20
)

// A tag that somebody chose to mean one build: `18.6-bookworm`, `v3.5.0`, `2026-04-20`, `RELEASE.2025-09-07T16-13-09Z`.
var (
	version = regexp.MustCompile(`\d+[.-]\d+`)
	digest  = regexp.MustCompile(`@sha256:[0-9a-f]{64}$`)
)

func isJob(service types.ServiceConfig) bool {
	return service.Labels[jobLabel] == "true"
}

// ofService tells what is wrong with one service.
func ofService(project *types.Project, service types.ServiceConfig) []string {
	var found []string
	say := func(format string, arguments ...any) { found = append(found, fmt.Sprintf(format, arguments...)) }
	if problem := unpinned(service.Image); problem != "" {
		say("%s", problem)
	}
	if memoryOf(service) == 0 {
		say("it has no memory limit: set mem_limit")
	}
	switch {
	case isJob(service):
		if service.Restart != "no" && service.Restart != "" {
			say("a job (label %s) is not started again: restart must be \"no\"", jobLabel)
		}
	case service.HealthCheck == nil || service.HealthCheck.Disable || len(service.HealthCheck.Test) == 0 || service.HealthCheck.Test[0] == "NONE":
		say("it has no health check: set healthcheck.test")
	}
	if service.Privileged {
		say("it is privileged: it would own the host")
	}
	for name, dependency := range service.DependsOn {
		other, known := project.Services[name]
		switch {
		case !known:
			say("it waits for %s, which is not there", name)
		case dependency.Condition == types.ServiceConditionCompletedSuccessfully && !isJob(other):
			say("it waits for the end of %s, which is no job (label %s)", name, jobLabel)
		case dependency.Condition == types.ServiceConditionHealthy && isJob(other):
			say("it waits for the health of the job %s: wait for service_completed_successfully", name)
		}
	}
	for _, volume := range service.Volumes {
		if volume.Type != types.VolumeTypeBind {
			continue
		}
		if strings.HasSuffix(volume.Source, "docker.sock") {
			say("it gets the engine's socket, and with it the host")
		} else if _, err := os.Stat(volume.Source); err != nil {
			say("what is mounted at %s is not there: %s", volume.Target, relative(project, volume.Source))
		}
	}
	if service.Build != nil {
		if problem := unbuildable(service.Build); problem != "" {
			say("%s", problem)
		}
	} else if strings.HasPrefix(service.Image, ours) {
		say("the image %s would be pulled, and no registry has it: give the service its build", service.Image)
	}
	return found
}

func unpinned(image string) string {
	if digest.MatchString(image) {
		return ""
	}
	name := image[strings.LastIndex(image, "/")+1:]
	_, tag, tagged := strings.Cut(name, ":")
	switch {
	case image == "":
		return "it has no image"
	case !tagged:
		return fmt.Sprintf("the image %s has no tag, which means latest: name a version", image)
	case strings.HasPrefix(tag, "latest") || !version.MatchString(tag):
		return fmt.Sprintf("the tag %s of the image %s means another build every day: name a version", tag, image)
	default:
		return ""
	}
}

func unbuildable(build *types.BuildConfig) string {
	name := build.Dockerfile
	if name == "" {
		name = "Dockerfile"
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(build.Context, name)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Sprintf("it cannot be built: %s", err)
	}
	stage := regexp.MustCompile(`(?mi)^FROM \S+ AS ` + regexp.QuoteMeta(build.Target) + `\s*$`)
	if build.Target != "" && !stage.Match(text) {
		return fmt.Sprintf("%s has no stage %s", filepath.Base(name), build.Target)
	}
	return ""
}

// reachable tells of ports that others than this machine reach, and of ports that two services want.
func reachable(project *types.Project) []string {
	var found []string
	taken := map[string]string{}
	for _, name := range project.ServiceNames() {
		service := project.Services[name]
		if service.NetworkMode == "host" {
			found = append(found, fmt.Sprintf("service %s: in the host's network every port of it is open", name))
		}
		for _, port := range service.Ports {
			if address := net.ParseIP(port.HostIP); address == nil || !address.IsLoopback() {
				found = append(found, fmt.Sprintf(
					"service %s: port %s is published on %q: write 127.0.0.1:%s:%d", name, port.Published, port.HostIP, port.Published, port.Target))
			}
			key := port.Published + "/" + port.Protocol
			if other, clash := taken[key]; clash {
				found = append(found, fmt.Sprintf("services %s and %s both publish port %s", other, name, key))
			}
			taken[key] = name
		}
	}
	return found
}

func memoryOf(service types.ServiceConfig) int64 {
	if service.MemLimit > 0 {
		return int64(service.MemLimit)
	}
	if service.Deploy != nil && service.Deploy.Resources.Limits != nil {
		return int64(service.Deploy.Resources.Limits.MemoryBytes)
	}
	return 0
}

// limits is the sum of the memory limits, in MiB.
func limits(project *types.Project) int64 {
	var sum int64
	for _, service := range project.Services {
		sum += memoryOf(service)
	}
	return sum / mib
}

func mounts(project *types.Project) []string {
	known := map[string]bool{}
	for _, service := range project.Services {
		for _, volume := range service.Volumes {
			if volume.Type == types.VolumeTypeBind {
				known[relative(project, volume.Source)] = true
			}
		}
	}
	paths := make([]string, 0, len(known))
	for path := range known {
		paths = append(paths, path)
	}
	sort.Strings(paths)
	return paths
}

func relative(project *types.Project, path string) string {
	if short, err := filepath.Rel(project.WorkingDir, path); err == nil {
		return short
	}
	return path
}

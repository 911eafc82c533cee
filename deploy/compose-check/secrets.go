package main

import (
	"fmt"
	"os"
	"regexp"
	"sort"
	"strings"

	"go.yaml.in/yaml/v4"
)

var (
	// Names whose values are secret.
	secret = regexp.MustCompile(`(?i)(password|passwd|secret|token|master_key|access_key|credential)`)
	// `${NAME}` and `${NAME:?message}`: the value comes from .env or nothing starts. `${NAME:-value}` is a value in the file.
	reference = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*(:?\?[^}]*)?\}`)
	// `--password=x`, `password: x` in a command line.
	argument = regexp.MustCompile(`(?i)(password|passwd|secret|token|access_key)[=: ]+\S`)
	// `scheme://user:password@host`.
	userinfo = regexp.MustCompile(`://[^/@\s:]+:([^/@\s]+)@`)
)

// secrets tells of secrets that are written in the file itself; it looks at the text, because the loader puts values in.
func secrets(file string) ([]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var document struct {
		Services map[string]map[string]any `yaml:"services"`
	}
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var found []string
	for name, service := range document.Services {
		for _, place := range literals("", service) {
			found = append(found, fmt.Sprintf(
				"service %s: a secret is written in the file at %s: write ${NAME:?…} and put it into .env", name, place))
		}
	}
	sort.Strings(found)
	return found, nil
}

// literals are the places below a value at which a secret is written.
func literals(place string, value any) []string {
	var found []string
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			below := strings.TrimPrefix(place+"."+name, ".")
			if text, scalar := asText(inner); scalar && secret.MatchString(name) && isLiteral(text) {
				found = append(found, below)
				continue
			}
			found = append(found, literals(below, inner)...)
		}
	case []any:
		for index, inner := range value {
			below := fmt.Sprintf("%s[%d]", place, index)
			if text, scalar := asText(inner); scalar {
				name, assigned, pair := strings.Cut(text, "=")
				if pair && secret.MatchString(name) && isLiteral(assigned) {
					found = append(found, below)
					continue
				}
				// `--password x`: the option and its value are two elements.
				if index > 0 {
					if before, _ := asText(value[index-1]); strings.HasPrefix(before, "-") && !strings.Contains(before, "=") &&
						secret.MatchString(before) && isLiteral(text) {
						found = append(found, below)
						continue
					}
				}
			}
			found = append(found, literals(below, inner)...)
		}
	case string:
		for _, part := range userinfo.FindAllStringSubmatch(reference.ReplaceAllString(value, "${}"), -1) {
			if isLiteral(part[1]) {
				return []string{place}
			}
		}
		if argument.MatchString(reference.ReplaceAllString(value, "")) {
			return []string{place}
		}
	}
	return found
}

// isLiteral tells whether anything is left of a value besides references to variables.
func isLiteral(value string) bool {
	return strings.TrimSpace(strings.ReplaceAll(reference.ReplaceAllString(value, ""), "${}", "")) != ""
}

// asText is a scalar as text; nothing in the file, as in `NAME:`, is taken from the environment, and is no text.
func asText(value any) (string, bool) {
	switch value := value.(type) {
	case nil, map[string]any, []any:
		return "", false
	default:
		return fmt.Sprint(value), true
	}
}

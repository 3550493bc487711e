//go:build quiet

package e2e

// quietMachine is whether tests run whose figures a busy machine spoils: go test -tags quiet.
const quietMachine = true

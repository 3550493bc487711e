//go:build !quiet

package e2e

const quietMachine = false

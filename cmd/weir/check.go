package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"weir/internal/config"
	"weir/sysctl"
)

// exitWarnings is what check returns for warnings under --strict.
const exitWarnings = 2

// checked is the JSON form of a check.
type checked struct {
	*config.Report
	Memory *memory `json:"memory,omitempty"`
}

func newCheck() *cobra.Command {
	var file string
	var asJSON, strict bool
	c := &cobra.Command{
		Use:   "check -c FILE",
		Short: "Report every error and warning of a configuration file",
		Long: `Report every error and warning of a configuration file, and of the files that it names, in one pass.

Exit status: 0 the file can be used, 1 it has errors, 2 it has only warnings and --strict was given.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if file == "" {
				return usage("check needs -c FILE")
			}
			cfg, report := config.Load(file)
			return checkResult(c, cfg, report, asJSON, strict)
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "", "configuration `file`")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&strict, "strict", false, "exit with status 2 when there are warnings")
	return c
}

func checkResult(c *cobra.Command, cfg *config.Config, report *config.Report, asJSON, strict bool) error {
	out := c.OutOrStdout()
	result := checked{Report: report}
	if cfg != nil {
		result.Memory = memoryOf(cfg, sysctl.NeedsOf(cfg, workersOf(cfg)))
	}
	if asJSON {
		if err := writeJSON(out, result); err != nil {
			return err
		}
	} else {
		if _, err := report.WriteTo(out); err != nil {
			return refused(err)
		}
		fmt.Fprintf(out, "%s: %s\n", report.File, verdict(report))
		if result.Memory != nil {
			fmt.Fprintln(out, result.Memory)
		}
	}
	switch {
	case !report.OK():
		return &exit{status: exitRefused}
	case strict && report.Warnings > 0:
		return &exit{status: exitWarnings}
	}
	return nil
}

func verdict(r *config.Report) string {
	if r.Errors == 0 && r.Warnings == 0 {
		return "ok"
	}
	s := fmt.Sprintf("%s, %s", plural(r.Errors, "error"), plural(r.Warnings, "warning"))
	if r.OK() {
		return s + ": can be used"
	}
	return s + ": cannot be used"
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

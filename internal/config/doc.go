// Package config turns a TOML file into an immutable, typed configuration, or into a list of everything that is wrong
// with it.
//
//	file ──► tree (values with positions) ──► schema (types, ranges, defaults) ──► references ──► lints ──► *Config
//	             │                                │                                   │             │
//	             └────────────────────────────────┴──────────► *Report ◄──────────────┴─────────────┘
//
// One pass reports every problem of a file, each with its line and column. What comes out is effective: references are
// pointers, defaults are filled in, a mode and its overrides are folded into one value, files that the configuration
// names are read and checked. Nothing in a Config is ever written to again, so every goroutine may read it; a reload
// makes a new one and compares the two with Diff and the Same methods.
//
// The package opens no socket, resolves no name, and knows neither the engine nor the kernel's settings.
package config

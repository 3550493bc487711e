package admin

import (
	"context"

	"weir/internal/stats"
)

// Engine is what the control plane needs of the proxy. It names no type of this package, so that the engine need not know
// it. Methods are called from any goroutine, several at a time. An error
// is a refusal: nothing has changed, and its text is the reason that the operator reads. The context ends when weir stops
// serving the caller; it does not end because the caller went away, since a command once begun is carried through.
type Engine interface {
	// Snapshot gathers the workers' cells. It must give up when ctx ends: a worker may be stuck.
	Snapshot(ctx context.Context) (*stats.Snapshot, error)
	// Sessions lists at most max client connections.
	Sessions(ctx context.Context, max int) ([]stats.Session, error)

	// Reload applies the configuration file anew and returns when every worker has it.
	Reload(ctx context.Context) (oldGen, newGen uint64, err error)
	// Drain stops listening, lets what is in flight finish, and returns when nothing is left.
	Drain(ctx context.Context) (oldGen, newGen uint64, err error)
	// Stop ends the process's work at once; it returns when every connection is closed.
	Stop(ctx context.Context) (oldGen, newGen uint64, err error)
	// Upgrade starts the new binary, hands the listeners over and returns when it has said that it is ready. The
	// generations are those of the two processes.
	Upgrade(ctx context.Context) (oldGen, newGen uint64, err error)

	// SetServerState sets "ready", "drain" or "maint".
	SetServerState(ctx context.Context, backend, server, state string) error
	SetServerWeight(ctx context.Context, backend, server string, weight int) error
	SetServerMaxConn(ctx context.Context, backend, server string, maxConn int) error
	// SetLimit changes a key of a limit profile wherever the profile is attached. The value is as in the file.
	SetLimit(ctx context.Context, profile, key, value string) error

	// Config is the effective configuration as TOML, secrets masked.
	Config() string
	// ConfigJSON is the same as JSON: the tables as objects, under the names that they have in the file.
	ConfigJSON() []byte
	// Ready says whether new connections are welcome: false before listening and while draining, with the reason.
	Ready() (ready bool, why string)
}

// Generations are the configuration generations before and after a command, equal if it changed none: the Data of the
// response to reload, drain, stop and upgrade.
type Generations struct {
	Old uint64 `json:"old-generation"`
	New uint64 `json:"new-generation"`
}

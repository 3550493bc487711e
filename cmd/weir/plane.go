package main

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"os"

	"weir/engine"
	"weir/internal/config"
	"weir/internal/stats"
)

// plane is the data plane as the process sees it: engine.Engine, or in tests something that remembers what was asked.
type plane interface {
	Reload(ctx context.Context, cfg *config.Config) (old, now uint64, err error)
	// Drain returns when nothing is left, when hard-stop-after has passed, or when ctx ends. Stop must follow.
	Drain(ctx context.Context) error
	Stop()
	Ready() (ready bool, why string)

	Snapshot(ctx context.Context) (*stats.Snapshot, error)
	Sessions(ctx context.Context, max int) ([]stats.Session, error)

	SetServerState(ctx context.Context, backend, server, state string) error
	SetServerWeight(ctx context.Context, backend, server string, weight int) error
	SetServerMaxConn(ctx context.Context, backend, server string, maxConn int) error
	SetLimit(ctx context.Context, profile, key, value string) error

	// Listeners are the listening sockets in use; they stay the data plane's.
	Listeners() sockets
	// QUIC are the UDP sockets of HTTP/3 and what else the next process needs to share them; ReclaimQUIC takes them back.
	QUIC() (quicSockets, error)
	ReclaimQUIC()
	// TakeOver is called when nothing can fail any more: clients of HTTP/3 come here instead of to the process before this
	// one, and what was handed over and not used is forgotten.
	TakeOver() error
}

// sockets are listening sockets by address.
type sockets = map[netip.AddrPort][]int

// quicSockets are those of HTTP/3, by address.
type quicSockets = map[netip.AddrPort]*engine.QUICSockets

// planeOptions is what starting a data plane needs besides the configuration.
type planeOptions struct {
	log       *slog.Logger
	access    io.Writer // of the access log, which the configuration switches on and off
	inherited sockets
	quic      quicSockets
	lives     []*os.File // of the processes before this one: pipes that end with them

	generation uint64 // of cfg
}

// starter starts a data plane: startEngine, but for tests.
type starter func(cfg *config.Config, o planeOptions) (plane, error)

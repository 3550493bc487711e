package admin

import (
	"bytes"
	"log/slog"

	"github.com/cloudwego/netpoll"
)

// netpoll's settings are the process's, and it asks for them before anything of it runs. One poller is enough for two
// quiet listeners, and each would be a thread that competes with the workers. What it logs are races between two closes of
// one connection; they go where someone debugging will look, not between weir's own lines.
func init() {
	err := netpoll.Configure(netpoll.Config{PollerNum: 1, LoadBalance: netpoll.RoundRobin, LoggerOutput: logWriter{}})
	if err != nil {
		panic("admin: netpoll does not take one poller: " + err.Error())
	}
}

// logWriter hands lines to slog.
type logWriter struct{}

// Write implements io.Writer.
func (logWriter) Write(line []byte) (int, error) {
	slog.Debug("netpoll", "text", string(bytes.TrimRight(line, "\n")))
	return len(line), nil
}

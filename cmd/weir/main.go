// Command weir is a reverse proxy that multiplexes many client connections over few shared server connections. Its
// commands are documented by `weir help`.
package main

import (
	"context"
	"os"
)

// version is set when a release is built: -ldflags "-X main.version=1.2.3".
var version = ""

func main() {
	os.Exit(execute(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

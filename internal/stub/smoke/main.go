package main

import (
	"fmt"
	"log/slog"
	"os"

	"weir/engine"
	"weir/internal/config"
)

func main() {
	cfg, rep := config.Load(os.Args[1])
	rep.WriteTo(os.Stderr)
	if cfg == nil {
		os.Exit(1)
	}
	o := engine.Options{Log: slog.Default()}
	if cfg.Global.AccessLog == "stdout" {
		o.AccessLog = os.Stdout
	}
	_, err := engine.Start(cfg, o)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	select {}
}

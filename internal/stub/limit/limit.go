package limit

import (
	"sync/atomic"

	"weir/internal/config"
)

type Level uint8

const (
	LevelGlobal Level = iota
	LevelFrontend
	LevelBackend
)

type Axis uint8

func (a Axis) String() string { return "" }

type Table struct{}

func NewTable(n int) *Table { return &Table{} }

type Attachment struct{}

func (t *Table) Attach(l Level, name string, c *config.Limits) *Attachment { return &Attachment{} }
func (t *Table) NewCount(max int64) *Count                               { return &Count{} }

type Count struct{ n atomic.Int64 }

func (c *Count) Current() int64 { return c.n.Load() }

type Queue struct{}
type Waiter struct{}

func (c *Count) SetMax(n int64) {}

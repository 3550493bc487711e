package engine

import (
	"strings"
	"testing"

	"github.com/valyala/bytebufferpool"

	"weir/internal/mono"
	"weir/internal/stats"
)

// TestLinesWaitForAWriterThatIsBehind: a writer that is kept from running for as long as many turns take costs no lines; one that
// takes nothing any more costs them in the end, and they are counted.
func TestLinesWaitForAWriterThatIsBehind(t *testing.T) {
	w := &worker{stats: &stats.Worker{}}
	a := &accessLine{w: w, log: &accessLog{queue: make(chan *bytebufferpool.ByteBuffer, 1)}}
	turn := func(line string) {
		if a.batch == nil {
			a.batch = a.log.pool.Get()
		}
		_, _ = a.batch.WriteString(line)
		a.lines++
		a.handOver()
	}
	turn("1\n")
	if a.retryAt() != mono.Never {
		t.Error("there is nothing to hand over, and yet a turn is due")
	}
	for range 1000 {
		turn("2\n")
	}
	if a.retryAt() == mono.Never {
		t.Error("lines wait, and no turn is due")
	}
	if first := <-a.log.queue; first.String() != "1\n" {
		t.Errorf("%q comes first", first)
	}
	turn("3\n")
	if second := <-a.log.queue; second.String() != strings.Repeat("2\n", 1000)+"3\n" {
		t.Errorf("%d bytes come then", second.Len())
	}
	if l := w.stats.Loop; l.LogLines != 1002 || l.LogDropped != 0 {
		t.Errorf("%d lines, %d dropped", l.LogLines, l.LogDropped)
	}
	turn("4\n")
	turn(strings.Repeat("5", accessBatch) + "\n")
	if l := w.stats.Loop; l.LogDropped != 1 || a.retryAt() != mono.Never {
		t.Errorf("a writer that takes nothing: %d lines are dropped", l.LogDropped)
	}
}

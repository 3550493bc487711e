package kerneltest

import (
	"testing"

	"weir/netio"
)

// Run checks the kernels of a world: open makes n kernels that can reach each other over 127.0.0.0/8 and cleans up after
// the test. The kernels are used from the calling goroutine only.
func Run(t *testing.T, open func(t *testing.T, n int) []netio.Kernel) {
	for _, c := range []struct {
		name string
		test func(*rig)
	}{
		{"connect and accept", connectAndAccept},
		{"accept until again", acceptUntilAgain},
		{"refused", refused},
		{"closed listener refuses", closedListenerRefuses},
		{"source address", sourceAddress},
		{"bytes before accept", bytesBeforeAccept},

		{"one event for each arrival", oneEventForEachArrival},
		{"an event says all that is so", anEventSaysAll},
		{"watch reports what is ready", watchReportsWhatIsReady},
		{"no event after close", noEventAfterClose},
		{"no event after unwatch", noEventAfterUnwatch},
		{"events that do not fit come next", eventsThatDoNotFit},

		{"eof after the data", eofAfterTheData},
		{"half close", halfClose},
		{"both directions ended", bothDirectionsEnded},
		{"send to a closed end", sendToClosedEnd},
		{"abort resets", abortResets},
		{"abort after data", abortAfterData},
		{"close with unread bytes resets", closeUnreadResets},
		{"reset after eof", resetAfterEOF},

		{"short write and writable", shortWriteAndWritable},
		{"a full socket that is closed", fullSocketClosed},
		{"send pieces", sendPieces},
		{"send nothing", sendNothing},
		{"large transfer both ways", largeTransfer},

		{"wake", wake},
		{"deadlines", deadlines},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(newRig(t, open(t, 1)[0])) })
	}
	t.Run("a connection moves between kernels", func(t *testing.T) {
		ks := open(t, 2)
		connectionMoves(newRig(t, ks[0]), newRig(t, ks[1]))
	})
	t.Run("listeners share an address", func(t *testing.T) {
		ks := open(t, 2)
		listenersShare(newRig(t, ks[0]), newRig(t, ks[1]))
	})
}

package kerneltest

import "weir/netio"

func eofAfterTheData(r *rig) {
	c, s := r.pair()
	c.say("last words")
	c.shut()
	s.expect(netio.Readable | netio.PeerClosed)
	s.hear("last words")
	s.recv(netio.EOF)
	s.recv(netio.EOF)
}

func halfClose(r *rig) {
	c, s := r.pair()
	c.say("request")
	r.ShutdownSend(c.fd)
	s.expect(netio.Readable | netio.PeerClosed)
	s.hear("request")
	s.recv(netio.EOF)
	c.send(netio.Reset)
	s.say("response")
	c.expect(netio.Readable)
	c.hear("response")
	s.shut()
	c.expect(netio.Readable | netio.PeerClosed | netio.HungUp)
	c.recv(netio.EOF)
}

func bothDirectionsEnded(r *rig) {
	c, s := r.pair()
	r.ShutdownSend(c.fd)
	s.expect(netio.PeerClosed)
	s.recv(netio.EOF)
	r.ShutdownSend(s.fd)
	s.expect(netio.HungUp) // both halves are over
	c.expect(netio.PeerClosed | netio.HungUp)
	c.recv(netio.EOF)
}

// sendToClosedEnd is the stale connection: the first send succeeds, and its RST comes back.
func sendToClosedEnd(r *rig) {
	c, s := r.pair()
	s.shut()
	c.expect(netio.PeerClosed)
	c.say("into the void")
	c.expect(netio.HungUp)
	c.send(netio.Reset)
	c.send(netio.Reset)
	c.recv(netio.EOF) // the FIN came before the RST
}

func abortResets(r *rig) {
	c, s := r.pair()
	r.Abort(c.fd)
	s.expect(netio.Readable | netio.Writable | netio.PeerClosed | netio.HungUp)
	s.recv(netio.Reset)
	s.recv(netio.EOF) // an error is told once
	s.send(netio.Reset)
}

// abortAfterData: what had arrived before the RST can still be read.
func abortAfterData(r *rig) {
	c, s := r.pair()
	c.say("half an answ")
	s.expect(netio.Readable)
	r.Abort(c.fd)
	s.expect(netio.HungUp)
	s.hear("half an answ")
	s.recv(netio.Reset)
	s.send(netio.Reset)
}

func closeUnreadResets(r *rig) {
	c, s := r.pair()
	c.say("never read")
	s.expect(netio.Readable)
	s.shut()
	c.expect(netio.HungUp)
	c.send(netio.Reset)
}

// resetAfterEOF: the end of the stream is what reading tells, sending tells the reset.
func resetAfterEOF(r *rig) {
	c, s := r.pair()
	r.ShutdownSend(c.fd)
	s.expect(netio.PeerClosed)
	r.Abort(c.fd)
	s.expect(netio.HungUp)
	s.recv(netio.EOF)
	s.send(netio.Reset)
	s.recv(netio.EOF)
}

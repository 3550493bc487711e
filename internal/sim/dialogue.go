package sim

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"weir/netio"
)

// Dialogue is a Script that is a list of lines, spoken and expected in turn:
//
//	net.Client(proxy, sim.Play(
//		sim.Say("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
//		sim.HearUntil("\r\n\r\n"),
//		sim.Hear("hello"),
//		sim.Hangup(),
//	))
//
// What is heard otherwise than expected is a failure of the world (Net.Err). Whether the dialogue got to its end tells
// Done: a line that is waited for in vain is no failure by itself.
type Dialogue struct {
	lines []Line
	p     *Peer
	heard []byte // received, not matched yet
	next  int
	state dialogueState
}

// dialogueState says what a Dialogue is about.
type dialogueState uint8

const (
	dialogueHears  dialogueState = iota // waits for what the current line wants to hear, or is done
	dialogueSpeaks                      // exactly while lines are being played: what a line causes must not play it again
	dialoguePauses                      // the current line waits for time to pass
	dialogueFailed                      // something else was heard
)

// Line is one line of a Dialogue.
type Line struct {
	what string
	// play returns true when the line is over.
	play func(d *Dialogue) bool
}

// Play is a dialogue of these lines.
func Play(lines ...Line) *Dialogue { return &Dialogue{lines: lines} }

// Done reports whether all lines have been played.
func (d *Dialogue) Done() bool { return d.next == len(d.lines) }

// Stuck is the line that the dialogue waits at; empty when it is done.
func (d *Dialogue) Stuck() string {
	if d.Done() {
		return ""
	}
	return fmt.Sprintf("line %d: %s; heard %q", d.next+1, d.lines[d.next].what, d.heard)
}

// Peer is the end that the dialogue is played at; nil before the connection is open.
func (d *Dialogue) Peer() *Peer { return d.p }

// Open begins.
func (d *Dialogue) Open(p *Peer) { d.p = p; d.play() }

// Data is heard.
func (d *Dialogue) Data(p *Peer, b []byte) { d.heard = append(d.heard, b...); d.play() }

// End is heard. That there is no connection is a failure, unless the first line expects it.
func (d *Dialogue) End(p *Peer, how netio.IO) {
	if d.p == nil && !d.Done() && !strings.HasPrefix(d.lines[0].what, hearEnd) {
		d.p = p
		d.fail("there is no connection: %v", how)
	}
	d.p = p
	d.play()
}

// play plays lines up to one that has to wait.
func (d *Dialogue) play() {
	if d.state != dialogueHears {
		return
	}
	d.state = dialogueSpeaks
	for !d.Done() && d.lines[d.next].play(d) {
		d.next++
	}
	if d.state == dialogueSpeaks {
		d.state = dialogueHears
	}
}

// pause ends the playing of lines until resume.
func (d *Dialogue) pause() bool {
	d.state = dialoguePauses
	return false
}

func (d *Dialogue) resume() {
	d.state = dialogueHears
	d.next++
	d.play()
}

// fail says what was heard instead, once: the dialogue stays at this line.
func (d *Dialogue) fail(format string, args ...any) bool {
	d.p.net.Fail("%v: line %d: %s: %s", d.p.Local(), d.next+1, d.lines[d.next].what, fmt.Sprintf(format, args...))
	d.state = dialogueFailed
	return false
}

// Say sends s.
func Say(s string) Line {
	return Line{fmt.Sprintf("say %.60q", s), func(d *Dialogue) bool { d.p.Send(s); return true }}
}

// Trickle sends s in parts of n bytes, one every t; what follows waits for the last.
func Trickle(s string, n int, t time.Duration) Line {
	return Line{fmt.Sprintf("trickle %.60q", s), func(d *Dialogue) bool {
		d.p.Drip(s, n, t, func() { d.p.net.After(0, d.resume) })
		return d.pause()
	}}
}

// Hear expects exactly s.
func Hear(s string) Line {
	return Line{fmt.Sprintf("hear %.60q", s), func(d *Dialogue) bool {
		n := min(len(s), len(d.heard))
		switch {
		case string(d.heard[:n]) != s[:n]:
			return d.fail("heard %.200q", d.heard)
		case n < len(s):
			return d.more()
		}
		d.heard = d.heard[n:]
		return true
	}}
}

// HearUntil expects anything up to and with mark.
func HearUntil(mark string) Line {
	return Line{fmt.Sprintf("hear until %q", mark), func(d *Dialogue) bool {
		i := bytes.Index(d.heard, []byte(mark))
		if i < 0 {
			return d.more()
		}
		d.heard = d.heard[i+len(mark):]
		return true
	}}
}

// HearLine expects a line that contains all of the words.
func HearLine(words ...string) Line {
	return Line{fmt.Sprintf("hear a line with %q", words), func(d *Dialogue) bool {
		line, rest, ok := bytes.Cut(d.heard, []byte("\r\n"))
		if !ok {
			return d.more()
		}
		for _, w := range words {
			if !strings.Contains(string(line), w) {
				return d.fail("heard %.200q", line)
			}
		}
		d.heard = rest
		return true
	}}
}

// HearBytes expects n bytes, whatever they are.
func HearBytes(n int) Line {
	return Line{fmt.Sprintf("hear %d bytes", n), func(d *Dialogue) bool {
		if len(d.heard) < n {
			return d.more()
		}
		d.heard = d.heard[n:]
		return true
	}}
}

// more waits for more to be heard, which there must be.
func (d *Dialogue) more() bool {
	if d.p.Ended != netio.OK {
		return d.fail("the connection ended (%v) after %.200q", d.p.Ended, d.heard)
	}
	return false
}

const hearEnd = "hear the end: "

// HearEnd expects that the connection ends this way, with nothing heard before.
func HearEnd(how netio.IO) Line {
	return Line{fmt.Sprintf(hearEnd+"%v", how), func(d *Dialogue) bool {
		switch {
		case len(d.heard) > 0:
			return d.fail("heard %.200q", d.heard)
		case d.p.Ended == netio.OK:
			return false
		case d.p.Ended != how:
			return d.fail("it ended: %v", d.p.Ended)
		}
		return true
	}}
}

// Pause lets time pass.
func Pause(t time.Duration) Line {
	return Line{fmt.Sprintf("pause for %v", t), func(d *Dialogue) bool {
		d.p.net.After(t, d.resume)
		return d.pause()
	}}
}

// Shut ends our direction.
func Shut() Line {
	return Line{"shut", func(d *Dialogue) bool { d.p.ShutdownSend(); return true }}
}

// Hangup closes the connection.
func Hangup() Line { return Line{"hang up", func(d *Dialogue) bool { d.p.Close(); return true }} }

// Kill closes the connection with a RST.
func Kill() Line { return Line{"kill", func(d *Dialogue) bool { d.p.Abort(); return true }} }

// Deafen stops reading, until Listen.
func Deafen() Line { return Line{"deafen", func(d *Dialogue) bool { d.p.Pause(); return true }} }

// Listen reads again.
func Listen() Line { return Line{"listen", func(d *Dialogue) bool { d.p.Resume(); return true }} }

// Do calls f.
func Do(f func(*Peer)) Line { return Line{"do", func(d *Dialogue) bool { f(d.p); return true }} }

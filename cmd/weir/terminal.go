package main

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// terminal is a screen that is redrawn in place, and the keys pressed meanwhile.
type terminal struct {
	in, out *os.File
	before  *unix.Termios // nil: the input is no terminal and was left alone
	keys    chan byte
}

// Control sequences of ECMA-48, as every terminal of today knows them.
const (
	screenOpen  = "\x1b[?1049h\x1b[?25l" // the alternate screen, without a cursor
	screenClose = "\x1b[?25h\x1b[?1049l"
	screenHome  = "\x1b[H"
	lineClear   = "\x1b[K"
	belowClear  = "\x1b[J"
)

var errNoTerminal = errors.New("the output is no terminal; use --once")

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// openTerminal takes over the screen. close gives it back.
func openTerminal(in, out *os.File) (*terminal, error) {
	if !isTerminal(out) {
		return nil, errNoTerminal
	}
	t := &terminal{in: in, out: out, keys: make(chan byte, 8)}
	if state, err := unix.IoctlGetTermios(int(in.Fd()), unix.TCGETS); err == nil {
		raw := *state
		raw.Lflag &^= unix.ICANON | unix.ECHO // keys at once and unseen; Ctrl-C stays a signal
		raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
		if unix.IoctlSetTermios(int(in.Fd()), unix.TCSETS, &raw) == nil {
			t.before = state
			go t.readKeys()
		}
	}
	_, err := out.WriteString(screenOpen)
	return t, err
}

// readKeys ends with the process: a read of a terminal cannot be called off.
func (t *terminal) readKeys() {
	var b [1]byte
	for {
		if n, err := t.in.Read(b[:]); n == 0 || err != nil {
			return
		}
		select {
		case t.keys <- b[0]:
		default: // nobody types that fast
		}
	}
}

func (t *terminal) close() {
	_, _ = t.out.WriteString(screenClose) // a terminal that is gone needs no restoring
	if t.before != nil {
		_ = unix.IoctlSetTermios(int(t.in.Fd()), unix.TCSETS, t.before)
	}
}

func (t *terminal) size() (width, height int) {
	ws, err := unix.IoctlGetWinsize(int(t.out.Fd()), unix.TIOCGWINSZ)
	if err != nil || ws.Col == 0 || ws.Row == 0 {
		return 80, 24
	}
	return int(ws.Col), int(ws.Row)
}

// draw replaces the screen in one write, so that it does not flicker.
func (t *terminal) draw(lines []string) {
	_, _ = t.out.WriteString(screenHome + strings.Join(lines, lineClear+"\r\n") + lineClear + belowClear)
}

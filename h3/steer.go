package h3

import (
	"golang.org/x/net/bpf"
)

// The kernel asks a classic BPF program which socket of a SO_REUSEPORT group gets a datagram. It sees the UDP payload and
// answers with an index into the group (socket(7), SO_ATTACH_REUSEPORT_CBPF).
//
// The index of a socket is the order in which it joined. When one is closed, the last of the group takes its place; see
// group. So a program is made for the places that the sockets have, and made anew when they move.

// places is where the sockets of one process are in the group: At[i] is the index of worker i's.
type places struct {
	Tag uint16 `json:"tag"`
	At  []int  `json:"at"`
}

// Offsets of the destination connection ID (RFC 9000 section 17.2, 17.3; the same in every version, RFC 8999).
const (
	longHeaderID  = 6
	shortHeaderID = 1
	longHeaderBit = 0x80
)

// steering makes the program. The packets of connections of others are sent to them; everything else, clients' first
// packets with connection IDs of their own making among them, to own.
//
// A datagram that is too short to be QUIC ends the program with 0 (bpf(4)), and is dropped by whoever is there.
func steering(own places, others []places) []bpf.Instruction {
	prog := []bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: longHeaderBit, SkipFalse: 2},
		bpf.LoadConstant{Dst: bpf.RegX, Val: longHeaderID},
		bpf.Jump{Skip: 1},
		bpf.LoadConstant{Dst: bpf.RegX, Val: shortHeaderID},
	}
	for _, o := range others {
		pick := pickWorker(o.At)
		prog = append(prog,
			bpf.LoadIndirect{Off: idTagAt, Size: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(o.Tag), SkipTrue: 1},
			bpf.Jump{Skip: uint32(len(pick))},
		)
		prog = append(prog, pick...)
	}
	return append(prog, pickWorker(own.At)...)
}

// pickWorker ends the program with the place of the worker that the connection ID names.
func pickWorker(at []int) []bpf.Instruction {
	prog := []bpf.Instruction{
		bpf.LoadIndirect{Off: 0, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpMod, Val: uint32(len(at))},
	}
	if inOrder(at) {
		return append(prog,
			bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: uint32(at[0])},
			bpf.RetA{},
		)
	}
	for worker, place := range at {
		prog = append(prog,
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(worker), SkipFalse: 1},
			bpf.RetConstant{Val: uint32(place)},
		)
	}
	return append(prog, bpf.RetConstant{Val: uint32(at[0])})
}

func inOrder(at []int) bool {
	for i, place := range at {
		if place != at[0]+i {
			return false
		}
	}
	return true
}

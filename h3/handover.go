package h3

// Handover is what the process that comes next needs of an endpoint, so that the connections of this one go on reaching it
// while new clients reach the next one.
//
// The next process adds its sockets to the group and makes the kernel steer by tag: packets with a connection ID of ours
// still go to our sockets, everything else to its own. It keeps our sockets open too, without reading them. So they stay
// where they are when we end, and the places move at a moment that it knows of: see Forget.
type Handover struct {
	Sockets   []int    `json:"sockets"`   // descriptors, in the kernel's order
	Processes []places `json:"processes"` // whose they are
	Secret    []byte   `json:"secret"`
}

// Handover prepares an endpoint for a process that comes next. The descriptors stay the endpoint's; they have to be
// duplicated into the other process. Reclaim undoes it when that process has failed.
func (e *Endpoint) Handover() (*Handover, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	fds, err := e.group.descriptors()
	if err != nil {
		return nil, err
	}
	e.group.handed = true
	return &Handover{
		Sockets:   fds,
		Processes: append([]places{e.group.own}, e.group.others...),
		Secret:    e.secret[:],
	}, nil
}

// TakeOver makes the kernel steer new clients to this process. Until then they come to the process before it, which goes on if
// this one fails. Without one there is nothing to do.
func (e *Endpoint) TakeOver() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.group.others) == 0 {
		return nil
	}
	return e.group.attach()
}

// Reclaim makes the kernel steer to this process again.
func (e *Endpoint) Reclaim() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.group.handed = false
	return e.group.attach()
}

// Forget closes the sockets of the processes before this one. All of them must have ended: the last to close a socket is who
// knows when the places move, and a process that still lives has its own and those of all before it. Clients that are left
// learn by a stateless reset that their connections are gone, if this process has as many workers: each has a key of its own.
func (e *Endpoint) Forget() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.group.forget()
}

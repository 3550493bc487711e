package engine

// message is what reaches a worker from outside: from the control plane or from another worker. It runs on the worker's
// thread, between the events of a turn and its timers.
type message interface{ deliver(w *worker) }

// do is a message that is a function; the control plane's own, since it costs an allocation.
type do func(w *worker)

func (f do) deliver(w *worker) { f(w) }

// takeMail delivers what has come.
func (w *worker) takeMail() {
	for {
		m, ok := w.mail.Take()
		if !ok {
			return
		}
		w.stats.Loop.MailIn++
		m.deliver(w)
	}
}

// post sends a message to another worker, or to itself.
func (w *worker) post(to int, m message) {
	w.stats.Loop.MailOut++
	w.shared.workers[to].mail.Post(m)
}

package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ofRequest returns "" if the outcome is what has come of a request, else what differs.
func (a *outcome) ofRequest(o *seen, own []*recorded) string {
	switch a.Do {
	case "reject":
		switch {
		case len(own) > 0:
			return "a request has reached the server"
		case len(o.finals) == 0:
			return "no response"
		case !slices.Contains(a.Status, o.finals[0].status()):
			return o.finals[0].start
		case a.Close && !o.closed:
			return "the connection stays open"
		}
		return ""
	case "close":
		if len(own) > 0 || len(o.finals) > 0 || !o.closed {
			return "it is not closed without a word"
		}
		return ""
	case "wait":
		if len(own) > 0 || len(o.finals) > 0 || o.closed {
			return "weir does not wait"
		}
		return ""
	case "forward":
		return a.forwarded(o, own)
	}
	return "unknown outcome"
}

// forwarded wants the requests at the server and their answers at the client.
func (a *outcome) forwarded(o *seen, own []*recorded) string {
	if bad := a.crossed(own); bad != "" {
		return bad
	}
	n := len(a.Reqs)
	if len(o.finals) < n {
		return fmt.Sprintf("%d responses", len(o.finals))
	}
	for i, m := range o.finals[:n] {
		if e := m.all("X-Echo"); m.status() != 200 || len(e) == 1 && e[0] != visible(own[i].target()) {
			return fmt.Sprintf("response %d is %s to %q", i, m.start, e)
		}
	}
	tail := o.finals[n:]
	switch {
	case len(a.StatusTail) == 0 && len(tail) > 0:
		return "one more response: " + tail[0].start
	case len(a.StatusTail) > 0 && (len(tail) == 0 || !slices.Contains(a.StatusTail, tail[0].status())):
		return "what follows is not refused"
	case a.Close && !o.closed:
		return "the connection stays open"
	case a.Need100 && len(o.interims) == 0:
		return "no 100"
	}
	return ""
}

// crossed compares what has reached the server with what should have.
func (a *outcome) crossed(own []*recorded) string {
	if len(own) != len(a.Reqs) {
		return fmt.Sprintf("%d requests at the server, not %d", len(own), len(a.Reqs))
	}
	for i, want := range a.Reqs {
		m := own[i]
		switch {
		case m.method() != want.Method:
			return "method " + m.method()
		case fromLatin1([]byte(m.target())) != want.Target:
			return "target " + visible(m.target())
		case want.Body != nil && fromLatin1(m.body) != *want.Body:
			return fmt.Sprintf("body %q", clip(m.body))
		}
		if bad := fieldsDiffer(m.message, want.Hdr, want.NoHdr); bad != "" {
			return bad
		}
	}
	return ""
}

// fieldsDiffer compares fields: a string is one field with this value ("re:" before a regular expression), a list is all
// values of a name. In no, "name" is no such field and "name:text" none that has the text.
func fieldsDiffer(m *message, want map[string]json.RawMessage, no []string) string {
	for name, raw := range want {
		got := m.all(name)
		for i := range got {
			got[i] = fromLatin1([]byte(got[i]))
		}
		var one string
		var list []string
		if json.Unmarshal(raw, &one) == nil {
			list = []string{one}
		} else if err := json.Unmarshal(raw, &list); err != nil {
			return err.Error()
		}
		if expr, ok := strings.CutPrefix(one, "re:"); ok {
			if len(got) != 1 || !regexp.MustCompile(expr).MatchString(got[0]) {
				return fmt.Sprintf("%s: %q, want %s", name, got, expr)
			}
			continue
		}
		single := one != "" || strings.EqualFold(name, "set-cookie")
		if strings.Join(got, ", ") != strings.Join(list, ", ") || single && len(got) != len(list) {
			return fmt.Sprintf("%s: %q, want %q", name, got, list)
		}
	}
	for _, n := range no {
		name, text, _ := strings.Cut(n, ":")
		for _, g := range m.all(name) {
			if strings.Contains(strings.ToLower(g), strings.ToLower(text)) {
				return fmt.Sprintf("%s: %q", name, g)
			}
		}
	}
	return ""
}

// ofResponse returns "" if the outcome is what the client has got of a server's response.
func (a *outcome) ofResponse(o *seen, v *vector) string {
	switch a.Do {
	case "gw":
		if len(o.finals) == 0 || !slices.Contains(a.Status, o.finals[0].status()) {
			return o.String()
		}
		return ""
	case "close":
		if !o.closed || len(o.raw) > 0 {
			return "it is not closed without a word"
		}
		return ""
	case "truncated":
		cut := len(o.finals) == 0 && o.partial != nil && o.closed
		if cut || len(o.finals) == 1 && o.finals[0].framing == byClose && o.reset {
			return ""
		}
		return "nothing shows that it is not whole"
	case "tunnel":
		if len(o.finals) == 1 && o.finals[0].status() == 101 && fromLatin1(o.rest) == a.Data {
			return ""
		}
		return fmt.Sprintf("no tunnel, or %q in it", o.rest)
	case "fwd":
		return a.passedOn(o, v)
	}
	return "unknown outcome"
}

func (a *outcome) passedOn(o *seen, v *vector) string {
	if len(o.finals) == 0 {
		return "no whole response"
	}
	m := o.finals[0]
	switch {
	case !slices.Contains(a.Status, m.status()):
		return m.start
	case a.Body != nil && fromLatin1(m.body) != *a.Body:
		return fmt.Sprintf("body %q", clip(m.body))
	case v.BodyLen > 0 && len(m.body) != v.BodyLen:
		return fmt.Sprintf("%d bytes of body", len(m.body))
	}
	if a.Interim != nil {
		got := []int{}
		for _, i := range o.interims {
			got = append(got, i.status())
		}
		if !slices.Equal(got, *a.Interim) {
			return fmt.Sprintf("interim responses %v", got)
		}
	}
	return fieldsDiffer(m, a.Hdr, a.NoHdr)
}

package config

import (
	"fmt"
	"strconv"
	"time"
)

// The methods here read one value as one type. They return false after reporting why they could not, with l.key as the
// key that is being read.

// badValue reports a value that has the right type and is still wrong.
func (l *loader) badValue(v *value, hint, format string, args ...any) {
	l.problem(Error, v.at, hint, l.key+": "+fmt.Sprintf(format, args...))
}

func (l *loader) wrongType(v *value, want, hint string) {
	l.problem(Error, v.at, hint, fmt.Sprintf("%s must be %s, not %s", l.key, want, kindNames[v.kind]))
}

func (l *loader) text(v *value) (string, bool) {
	if v.kind != kindString {
		hint := ""
		if v.kind < kindArray {
			hint = "write " + strconv.Quote(v.text)
		}
		l.wrongType(v, "a string", hint)
		return "", false
	}
	return v.text, true
}

func (l *loader) boolean(v *value) (b, ok bool) {
	if v.kind != kindBool {
		hint := "write true or false"
		if v.kind == kindString && (v.text == "true" || v.text == "false") {
			hint = "write " + v.text + " without quotes"
		}
		l.wrongType(v, "a boolean", hint)
		return false, false
	}
	return v.text == "true", true
}

func (l *loader) integer(v *value, lo, hi int) (int, bool) {
	if v.kind != kindInteger {
		hint := ""
		if _, err := strconv.Atoi(v.text); err == nil && v.kind == kindString {
			hint = "write " + v.text + " without quotes"
		}
		l.wrongType(v, "an integer", hint)
		return 0, false
	}
	n, err := strconv.ParseInt(v.text, 0, 64)
	if err != nil || n < int64(lo) || n > int64(hi) {
		l.badValue(v, "", "%s is out of range, allowed %d to %d", v.text, lo, hi)
		return 0, false
	}
	return int(n), true
}

func (l *loader) duration(v *value) (time.Duration, bool) {
	switch {
	case v.kind == kindInteger && v.text == "0":
		return 0, true
	case v.kind == kindInteger:
		l.wrongType(v, "a duration", fmt.Sprintf("write %q for seconds, %q for milliseconds", v.text+"s", v.text+"ms"))
		return 0, false
	case v.kind != kindString:
		l.wrongType(v, "a duration", "")
		return 0, false
	}
	d, err := parseDuration(v.text)
	if err != nil {
		l.badValue(v, "", "%q %v", v.text, err)
		return 0, false
	}
	return d, true
}

func (l *loader) size(v *value) (int, bool) {
	if v.kind != kindString && v.kind != kindInteger {
		l.wrongType(v, "a size", "")
		return 0, false
	}
	text := v.text
	if v.kind == kindInteger {
		n, err := strconv.ParseInt(text, 0, 64)
		if err != nil || n < 0 {
			l.badValue(v, "", "%s is out of range", text)
			return 0, false
		}
		text = strconv.FormatInt(n, 10)
	}
	n, err := parseSize(text)
	if err != nil {
		l.badValue(v, "", "%q %v", v.text, err)
		return 0, false
	}
	return n, true
}

// word returns the index of a string in words.
func (l *loader) word(v *value, words []string) (int, bool) {
	if v.kind != kindString {
		l.wrongType(v, "one of "+quotedList(words), "")
		return 0, false
	}
	for i, w := range words {
		if w == v.text {
			return i, true
		}
	}
	l.badValue(v, didYouMean(v.text, words), "%q is not one of %s", v.text, quotedList(words))
	return 0, false
}

// texts reads an array of strings and returns them with the values they stood in.
func (l *loader) texts(v *value) (ss []string, vs []*value, ok bool) {
	if v.kind != kindArray {
		hint := ""
		if v.kind == kindString {
			hint = "write [" + strconv.Quote(v.text) + "]"
		}
		l.wrongType(v, "an array of strings", hint)
		return nil, nil, false
	}
	ok = true
	for _, e := range v.list {
		s, good := l.text(e)
		if ok = ok && good; good {
			ss, vs = append(ss, s), append(vs, e)
		}
	}
	return ss, vs, ok
}

// tables reads an array of tables; example shows what one looks like.
func (l *loader) tables(v *value, example string) []*table {
	if v.kind != kindArray {
		l.wrongType(v, "an array of tables", "write "+l.key+" = ["+example+"]")
		return nil
	}
	var ts []*table
	for _, e := range v.list {
		if e.kind != kindTable {
			l.wrongType(e, "an array of tables", "write "+example)
			continue
		}
		ts = append(ts, e.tab)
	}
	return ts
}

// table reads a table.
func (l *loader) table(v *value, example string) (*table, bool) {
	if v.kind != kindTable {
		l.wrongType(v, "a table", "write "+l.key+" = "+example)
		return nil, false
	}
	return v.tab, true
}

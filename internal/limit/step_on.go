//go:build explore

package limit

// onStep is called before each operation on what workers share.
var onStep func()

func step() {
	if onStep != nil {
		onStep()
	}
}

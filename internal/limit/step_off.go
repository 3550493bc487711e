//go:build !explore

package limit

// step stands before each operation on what workers share. It is nothing, except in tests with the tag explore, which
// switch between workers there.
func step() {}

// Package einride measures our decoder beside that of go.einride.tech/can, on
// the same frames, in one run:
//
//	go test -bench .
//
// That library compiles DBC files to Go code; what it offers for layouts that
// are only known at run time are the descriptors of pkg/descriptor, one call for
// each signal. They are what is measured here.
package einride

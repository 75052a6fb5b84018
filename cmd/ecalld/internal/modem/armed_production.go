//go:build production

package modem

// A build made for the road is armed as built; nothing on disk, missing or
// broken, can disarm it.
const armedUnit = true

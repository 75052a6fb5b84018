//go:build !production

package modem

const armedUnit = false

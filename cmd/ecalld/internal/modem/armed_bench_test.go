//go:build !production

package modem

import "testing"

func TestThisBuildIsNotArmed(t *testing.T) {
	if armedUnit {
		t.Error("only a build for the road is armed")
	}
}

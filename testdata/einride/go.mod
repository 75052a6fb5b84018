// Outside of the product on purpose: go.einride.tech/can is here to be measured
// against, and never enters the module above.
module github.com/headunit-agent/headunit/testdata/einride

go 1.26.0

require (
	github.com/headunit-agent/headunit v0.0.0
	go.einride.tech/can v0.17.0
)

replace github.com/headunit-agent/headunit => ../..

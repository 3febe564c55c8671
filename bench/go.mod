module github.com/roomcast/roomcast/bench

go 1.26.0

replace github.com/roomcast/roomcast => ../

require golang.org/x/sys v0.48.0

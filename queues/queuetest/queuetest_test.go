package queuetest

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// With a real clock a test fails on a machine that has no time for it. It is tried again then, with longer units.
func TestTooSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var units []time.Duration
		ended := 0
		run(t, nil, Options{Unit: time.Second}, func(s *suite) {
			units = append(units, s.unit)
			s.Cleanup(func() { ended++ })
			s.pass(5)
			time.Sleep(time.Second) // as much as it takes
			s.pass(1)
			if s.unit < 4*time.Second {
				check(s, "too late", true, false)
			}
		})
		if fmt.Sprint(units) != "[1s 2s 4s]" || ended != 3 {
			t.Error(units, ended)
		}
	})
}

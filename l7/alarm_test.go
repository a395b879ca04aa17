package l7

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rang := func(a *alarm) bool {
			synctest.Wait()
			select {
			case <-a.rung():
				return true
			default:
				return false
			}
		}
		a := newAlarm()
		bell := a.rung()
		a.set(time.Now().Add(time.Second))
		a.set(time.Now().Add(3 * time.Second)) // put off
		time.Sleep(2 * time.Second)
		if rang(a) {
			t.Error("it rang at the time that was put off")
		}
		time.Sleep(time.Second)
		if !rang(a) {
			t.Error("it did not ring")
		}
		<-bell // who has waited from the beginning hears it too
		a.set(noDeadline)
		if rang(a) {
			t.Error("it rings on")
		}
		a.set(past)
		if !rang(a) {
			t.Error("it does not ring at a time that is past")
		}
	})
}

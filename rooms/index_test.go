package rooms

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sorted(s Selection[int]) []int { return slices.Sorted(s.All()) }

func TestSelect(t *testing.T) {
	var ix Index[int]
	for m := 1; m <= 6; m++ {
		ix.Add(m)
		ix.Join(m, fmt.Sprint("own", m))
	}
	ix.Join(1, "a", "b")
	ix.Join(2, "a")
	ix.Join(3, "b", "c")
	ix.Join(9, "a") // not added yet: in a room all the same

	for _, test := range []struct {
		rooms, except []string
		want          []int
	}{
		{nil, nil, []int{1, 2, 3, 4, 5, 6}},
		{[]string{"a"}, nil, []int{1, 2, 9}},
		{[]string{"a", "b"}, nil, []int{1, 2, 3, 9}},
		{[]string{"a", "a"}, nil, []int{1, 2, 9}},
		{[]string{"a", "none"}, nil, []int{1, 2, 9}},
		{[]string{"none"}, nil, nil},
		{[]string{"own4"}, nil, []int{4}},
		{[]string{"a"}, []string{"b"}, []int{2, 9}},
		{[]string{"a"}, []string{"own1", "own2"}, []int{9}},
		{nil, []string{"a", "c"}, []int{4, 5, 6}},
		{nil, []string{"none"}, []int{1, 2, 3, 4, 5, 6}},
		{[]string{"a", "b", "c"}, []string{"a", "b", "c"}, nil},
	} {
		s := ix.Select(Target{test.rooms, test.except})
		if got := sorted(s); !slices.Equal(got, test.want) {
			t.Errorf("to %q except %q: %v, want %v", test.rooms, test.except, got, test.want)
		}
		if s.Max() < len(test.want) {
			t.Errorf("to %q except %q: Max %d", test.rooms, test.except, s.Max())
		}
	}
}

func TestExceptManyMembers(t *testing.T) {
	var ix Index[int]
	for m := range 100 {
		ix.Add(m)
		ix.Join(m, fmt.Sprint(m%2), fmt.Sprint("own", m))
	}
	want := []int{3, 5, 7}
	for m := 9; m < 100; m += 2 {
		want = append(want, m)
	}
	if got := sorted(ix.Select(Target{Except: []string{"own1", "0"}})); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestChanges(t *testing.T) {
	var ix Index[string]
	check := func(got []Change, want ...Change) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	check(ix.Join("ada", "a", "b"), Change{"a", true}, Change{"b", true})
	check(ix.Join("ada", "a"))
	check(ix.Join("bob", "a"), Change{"a", false})
	check(ix.Leave("ada", "a", "none"), Change{"a", false})
	check(ix.Leave("ada", "a"))
	check(ix.Remove("bob"), Change{"a", true})
	check(ix.Remove("ada"), Change{"b", true})
	check(ix.Remove("ada"))
	if rooms, members := ix.Count(); rooms != 0 || members != 0 || len(ix.members) != 0 {
		t.Errorf("left behind: %d rooms, %d members, %v", rooms, members, ix.members)
	}
}

// TestSnapshotStays shows that a selection is not changed by what happens after it.
func TestSnapshotStays(t *testing.T) {
	for _, n := range []int{3, largeRoom, 200} {
		var ix Index[int]
		for m := range n {
			ix.Join(m, "r")
		}
		s := ix.Select(Target{Rooms: []string{"r"}})
		want := sorted(s)
		for m := range n {
			ix.Leave(m, "r")
			ix.Join(n+m, "r")
		}
		if got := sorted(s); !slices.Equal(got, want) {
			t.Errorf("%d members: the snapshot became %v", n, got)
		}
	}
}

// TestModel plays random operations against maps of sets.
func TestModel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var ix Index[int]
	all := map[int]bool{}
	in := map[string]map[int]bool{}
	room := func() string { return fmt.Sprint("r", rnd.IntN(5)) }
	for step := range 20000 {
		m := rnd.IntN(60)
		switch rnd.IntN(6) {
		case 0:
			ix.Add(m)
			all[m] = true
		case 1, 2:
			r := room()
			ix.Join(m, r)
			if in[r] == nil {
				in[r] = map[int]bool{}
			}
			in[r][m] = true
		case 3:
			r := room()
			ix.Leave(m, r)
			delete(in[r], m)
		case 4:
			if rnd.IntN(4) == 0 {
				ix.Remove(m)
				delete(all, m)
				for _, members := range in {
					delete(members, m)
				}
			}
		case 5:
			t1, t2, x := room(), room(), room()
			want := map[int]bool{}
			target := Target{Rooms: []string{t1, t2}, Except: []string{x}}
			if rnd.IntN(3) == 0 {
				target.Rooms = nil
				maps.Copy(want, all)
			} else {
				maps.Copy(want, in[t1])
				maps.Copy(want, in[t2])
			}
			maps.DeleteFunc(want, func(m int, _ bool) bool { return in[x][m] })
			got := sorted(ix.Select(target))
			if !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
				t.Fatalf("step %d: %v selects %v, want %v", step, target, got, want)
			}
			for r, members := range in {
				if ix.Len(r) != len(members) || ix.Has(m, r) != members[m] {
					t.Fatalf("step %d: room %s has %d members, want %d", step, r, ix.Len(r), len(members))
				}
			}
			mine := ix.Rooms(m)
			for _, r := range mine {
				if !in[r][m] {
					t.Fatalf("step %d: %d is said to be in %s", step, m, r)
				}
			}
			if len(mine) != ix.CountRooms(m) {
				t.Fatalf("step %d: CountRooms", step)
			}
		}
	}
}

func TestConcurrent(t *testing.T) {
	var ix Index[int]
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				m := g*1000 + i%50
				ix.Add(m)
				ix.Join(m, "r", fmt.Sprint(m))
				n := 0
				for range ix.Select(Target{Rooms: []string{"r"}}).All() {
					n++
				}
				if n == 0 {
					t.Error("a member of the room doesn't see itself")
				}
				ix.Leave(m, "r")
				ix.Remove(m)
			}
		})
	}
	wg.Wait()
	if rooms, members := ix.Count(); rooms != 0 || members != 0 {
		t.Errorf("%d rooms, %d members left", rooms, members)
	}
}

func BenchmarkSelect(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		var ix Index[int]
		for m := range n {
			ix.Join(m, "r", fmt.Sprint(m))
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			sum := 0
			for b.Loop() {
				for m := range ix.Select(Target{Rooms: []string{"r"}, Except: []string{"0"}}).All() {
					sum += m
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/member")
		})
	}
}

func BenchmarkJoinLeave(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		var ix Index[int]
		for m := range n {
			ix.Join(m, "r")
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ix.Join(-1, "r")
				ix.Leave(-1, "r")
			}
		})
	}
}

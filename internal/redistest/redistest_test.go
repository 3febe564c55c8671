package redistest

import "testing"

func TestServer(t *testing.T) {
	s := Start(t, "--appendonly", "yes", "--appendfsync", "always")
	c := s.Client()
	if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	s.Restart()
	if v, err := s.Client().Get(t.Context(), "k").Result(); v != "v" || err != nil {
		t.Errorf("after a restart: %q, %v", v, err)
	}
}

func TestCluster(t *testing.T) {
	c := StartCluster(t).Client()
	for _, key := range []string{"a", "b", "c", "d"} { // of different slots
		if err := c.Set(t.Context(), key, key, 0).Err(); err != nil {
			t.Error(err)
		}
	}
}

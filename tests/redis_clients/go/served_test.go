package clients

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// served is trimtab as it is built, with a store, which keeps its address from one start to the next. TRIMTAB names
// the command.
type served struct {
	address string
	folder  string
	lines   string
	command *exec.Cmd
}

// serve starts it with these lines in its [store]; it ends gracefully with the test.
func serve(t *testing.T, lines string) *served {
	t.Helper()
	s := &served{address: "127.0.0.1:0", folder: t.TempDir(), lines: lines}
	s.start(t)
	t.Cleanup(func() {
		if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := s.command.Wait(); err != nil {
			t.Errorf("it did not end gracefully: %v", err)
		}
	})
	return s
}

// start returns when it serves.
func (s *served) start(t *testing.T) {
	t.Helper()
	file := filepath.Join(s.folder, "trimtab.toml")
	text := fmt.Sprintf("[runtime]\nworkers = 2\n[store]\ndir = %q\nresp = %q\n%s\n",
		filepath.Join(s.folder, "data"), s.address, s.lines)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	name := os.Getenv("TRIMTAB")
	if name == "" {
		name = "trimtab"
	}
	s.command = exec.Command(name, "run", "--json", file)
	said, err := s.command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(said)
	var all []string
	for lines.Scan() {
		all = append(all, lines.Text())
		var event struct{ Event, Detail string }
		if json.Unmarshal(lines.Bytes(), &event) == nil && event.Event == "started" {
			s.address = strings.TrimPrefix(event.Detail, "store on ")
			// Read on, so that it does not wait for being read.
			go io.Copy(io.Discard, said)
			return
		}
	}
	t.Fatalf("%v ended: %q, %v", s.command, all, s.command.Wait())
}

// kill ends it as a crash does.
func (s *served) kill(t *testing.T) {
	t.Helper()
	if err := s.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.command.Wait()
}

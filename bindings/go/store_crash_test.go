package trimtab

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// A process that is killed under load: what it was told is on disk is there, and beyond that only a beginning of what
// it had under way. TRIMTAB_STORE_ROUNDS has it killed so often.
func TestWhatWasAcknowledgedOutlivesAKill(t *testing.T) {
	if isChild("writes") {
		writeForEver(t, os.Getenv("TRIMTAB_TEST_PATH"))
		return
	}
	rounds := 5
	if text, ok := os.LookupEnv("TRIMTAB_STORE_ROUNDS"); ok {
		rounds = must[int](t)(strconv.Atoi(text))
	}
	path := t.TempDir()
	for round := range rounds {
		acknowledged := killedAfter(t, path, 300+200*(round%5))
		store := openStoreIn(t, path, smallStore())
		for key, want := range acknowledged {
			entry := must[Entry](t)(store.GetEntry(bg, []byte(key)))
			var got int
			if _, err := fmt.Sscan(string(entry.Value), &got); err != nil || got < want || got > want+1 {
				t.Errorf("round %d: %s is %q, and %d was acknowledged", round, key, entry.Value, want)
			}
		}
		// What a transaction did is there whole.
		for at := range writers {
			left, right := numberAt(t, store, "left", at), numberAt(t, store, "right", at)
			if left != right {
				t.Errorf("round %d: half of a transaction: %d and %d", round, left, right)
			}
		}
		store.Close()
	}
}

const writers = 16

func numberAt(t testing.TB, store *Store, side string, at int) int {
	t.Helper()
	value, err := store.Get(bg, fmt.Appendf(nil, "%s/%d", side, at))
	if err != nil {
		wantError(t, err, ErrNotFound)
		return 0
	}
	var number int
	if _, err := fmt.Sscan(string(value), &number); err != nil {
		t.Error(err)
	}
	return number
}

// killedAfter has a child write until it has acknowledged so many writes, kills it, and gives the last number that it
// acknowledged for each key.
func killedAfter(t *testing.T, path string, lines int) map[string]int {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(patient(t), binary, "-test.run=^"+t.Name()+"$", "-test.count=1")
	command.Env = append(os.Environ(), "TRIMTAB_TEST_CHILD=writes", "TRIMTAB_TEST_PATH="+path)
	said, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	acknowledged := map[string]int{}
	heard := bufio.NewScanner(said)
	for heard.Scan() {
		// The last line may be torn: without its end it is none.
		key, number, isWhole := strings.Cut(strings.TrimSuffix(heard.Text(), "."), " ")
		if !isWhole || !strings.HasSuffix(heard.Text(), ".") {
			continue
		}
		var count int
		if _, err := fmt.Sscan(number, &count); err != nil {
			t.Fatalf("the child says %q", heard.Text())
		}
		acknowledged[key] = max(acknowledged[key], count)
		if lines--; lines == 0 {
			// It goes on writing meanwhile, and is in the midst of it.
			if err := command.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	command.Wait()
	if lines > 0 {
		t.Fatalf("the child ended by itself: %v", command.ProcessState)
	}
	return acknowledged
}

// writeForEver says what it was told is on disk, one line for each.
func writeForEver(t *testing.T, path string) {
	store, err := OpenStore(path, smallStore())
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	for at := range writers {
		go func() {
			for round := 0; ; round++ {
				var key string
				var number int64
				var err error
				if round%2 == 0 {
					key = fmt.Sprintf("n/%d", at)
					var result Result
					result, err = store.Increment(bg, []byte(key), 1)
					number = result.Number
				} else {
					key = fmt.Sprintf("left/%d", at)
					var done TxnResult
					done, err = store.Commit(bg, Txn{Then: []Operation{
						OpIncrement([]byte(key), 1), OpIncrement(fmt.Appendf(nil, "right/%d", at), 1),
					}})
					if err == nil {
						number = done.Steps[0].Number
					}
				}
				if err != nil {
					failed <- err
					return
				}
				// One write is one line, whoever writes beside.
				if _, err := os.Stdout.WriteString(fmt.Sprintf("%s %d.\n", key, number)); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	t.Fatal(<-failed)
}

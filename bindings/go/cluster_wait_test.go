package trimtab

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"testing"
	"time"
)

// openLonely opens the first of three nodes; the others never come, so that it waits for a primary all the time.
func openLonely(t *testing.T) *Store {
	t.Helper()
	options := smallStore()
	options.Timeout = patience
	options.Cluster = &ClusterOptions{
		Node:              "a",
		Members:           []Member{{Name: "a", Address: freeAddress()}, {Name: "b", Address: freeAddress()}, {Name: "c", Address: freeAddress()}},
		InsecurePlaintext: PlaintextLoopback,
		Patience:          patience,
		MessageBytes:      16 << 10,
	}
	store, err := OpenStore(filepath.Join(t.TempDir(), "a"), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func TestAContextThatEndsIsTheErrorOfARead(t *testing.T) {
	store, key := openLonely(t), []byte("key")
	reads := map[string]func(context.Context) error{
		"Get":       func(ctx context.Context) error { _, err := store.Get(ctx, key); return err },
		"GetEntry":  func(ctx context.Context) error { _, err := store.GetEntry(ctx, key); return err },
		"GetAppend": func(ctx context.Context) error { _, _, err := store.GetAppend(ctx, nil, key); return err },
		"Count":     func(ctx context.Context) error { _, err := store.Count(ctx, AllKeys()); return err },
		"Range":     func(ctx context.Context) error { _, err := store.Range(ctx, AllKeys()); return err },
		"Scan":      func(ctx context.Context) error { _, err := store.Scan(ctx, AllKeys()); return err },
		"Position": func(ctx context.Context) error {
			_, err := store.Get(ctx, key, WithReadLevel(ReadLocal), WithPosition(Position{Epoch: 9, Entry: 9}))
			return err
		},
		"All": func(ctx context.Context) error {
			for _, err := range store.All(ctx, AllKeys()) {
				return err
			}
			return nil
		},
		"Lease":     func(ctx context.Context) error { _, err := store.Lease(ctx, 1); return err },
		"KeepAlive": func(ctx context.Context) error { return store.KeepAlive(ctx, 1) },
		"Outcome": func(ctx context.Context) error {
			_, err := store.Outcome(ctx, Request{Client: ClientID{1}, Number: 1})
			return err
		},
	}
	for name, read := range reads {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 30 {
				ctx, cancel := context.WithTimeout(patient(t), 2*time.Millisecond)
				if err := read(ctx); err != context.DeadlineExceeded {
					t.Fatalf("a deadline: %v", err)
				}
				cancel()
			}
			ctx, cancel := context.WithCancel(patient(t))
			time.AfterFunc(time.Millisecond, cancel)
			if err := read(ctx); err != context.Canceled {
				t.Fatalf("canceled: %v", err)
			}
		})
	}
}

// Calls that hold a thread are bounded, those included that nobody waits for any more; one that waits for a place ends with its
// context.
func TestCallsThatHoldAThreadAreBounded(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	hold := func() (int, error) {
		begun <- struct{}{}
		<-end
		return 7, nil
	}
	for range asidesMax {
		ctx, cancel := context.WithCancel(patient(t))
		go func() {
			<-begun
			cancel()
		}()
		if _, err := aside(ctx, hold); err != context.Canceled {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(patient(t), time.Millisecond)
	defer cancel()
	if _, err := aside(ctx, hold); err != context.DeadlineExceeded {
		t.Fatal(err)
	}
	close(end)
	if value, err := aside(patient(t), func() (int, error) { return 8, nil }); err != nil || value != 8 {
		t.Fatal(value, err)
	}
}

// unnoticed is a context whose time is over, and that has not told so yet.
type unnoticed struct{ context.Context }

func (unnoticed) Deadline() (time.Time, bool) { return time.Now(), true }

func TestADeadlineThatIsOverIsTheError(t *testing.T) {
	late := &Error{Code: CodeTimedOut, Operation: "get"}
	_, err := aside(unnoticed{context.Background()}, func() (int, error) { return 0, late })
	if err != context.DeadlineExceeded {
		t.Fatal(err)
	}
	if _, err := aside(context.Background(), func() (int, error) { return 0, late }); !errors.Is(err, ErrTimedOut) {
		t.Fatal(err)
	}
}

func TestAMomentThatIsFarAwayIsNever(t *testing.T) {
	for _, moment := range []struct {
		time   time.Time
		millis uint64
	}{
		{time.Unix(1<<62, 0), math.MaxUint64},
		{time.Unix(math.MaxInt64, 999), math.MaxUint64},
		{time.Unix(math.MaxInt64/1000, 0), math.MaxUint64},
		{time.Unix(math.MaxInt64/1000-1, 1), (math.MaxInt64/1000-1)*1000 + 1},
		{time.UnixMilli(7), 7},
		{time.UnixMilli(7).Add(1), 8},
		{time.Unix(0, 0), 0},
		{time.Time{}, 0},
		{time.Unix(-1<<62, 0), 0},
		{time.Unix(math.MinInt64, 0), 0},
	} {
		if millis := unixMilliseconds(moment.time); millis != moment.millis {
			t.Errorf("%v is %d, not %d", moment.time.Unix(), millis, moment.millis)
		}
	}
	ctx, store := patient(t), openStore(t, smallStore())
	key := []byte("key")
	for _, far := range []time.Time{time.Unix(1<<62, 0), time.Unix(math.MaxInt64, 0), time.Unix(1<<51, 0)} {
		if _, err := store.Put(ctx, key, nil, WithDeadline(far)); err != nil {
			t.Fatal(err)
		}
		if result, err := store.ExpireAt(ctx, key, far); err != nil || !result.Done {
			t.Fatalf("%+v %v", result, err)
		}
		if _, err := store.Get(ctx, key); err != nil {
			t.Fatalf("until %v: %v", far.Unix(), err)
		}
	}
	entry, err := store.GetEntry(ctx, key)
	if err != nil || entry.Deadline.Unix() != 1<<51 {
		t.Fatalf("%+v %v", entry, err)
	}
	if state := leaseStateOf(1<<48, math.MaxUint64); state.TTL != math.MaxInt64 || !state.Deadline.IsZero() {
		t.Fatalf("%+v", state)
	}
	if state := leaseStateOf(1500, 7); state.TTL != 1500*time.Millisecond || state.Deadline != time.UnixMilli(7) {
		t.Fatalf("%+v", state)
	}
}

func TestRequestsThatCannotBe(t *testing.T) {
	ctx, store := patient(t), openStore(t, smallStore())
	one := OpIncrement([]byte("n"), 1)
	none := WithRequest(Request{Number: 5})
	_, err := store.Execute(ctx, one, none)
	wantError(t, err, ErrInvalidArgument)
	_, err = store.Put(ctx, []byte("k"), nil, WithRequest(Request{}))
	wantError(t, err, ErrInvalidArgument)
	_, err = store.Batch(ctx, []Operation{one}, none)
	wantError(t, err, ErrInvalidArgument)
	_, err = store.Commit(ctx, Txn{Then: []Operation{one}}, none)
	wantError(t, err, ErrInvalidArgument)
	_, err = store.Outcome(ctx, Request{Number: 5})
	wantError(t, err, ErrInvalidArgument)

	// The last number there is may be had, and none behind it.
	last := Request{Client: NewClientID(), Number: math.MaxUint64 - 1}
	_, err = store.Batch(ctx, []Operation{one, one, one}, WithRequest(last))
	wantError(t, err, ErrInvalidArgument)
	_, err = store.Get(ctx, []byte("n"))
	wantError(t, err, ErrNotFound)
	answers, err := store.Batch(ctx, []Operation{one, one}, WithRequest(last))
	if err != nil || answers[1].Number != 2 {
		t.Fatalf("%+v %v", answers, err)
	}
	again, err := store.Execute(ctx, one, WithRequest(Request{Client: last.Client, Number: math.MaxUint64}))
	if err != nil || !again.Repeated || again.Number != 2 {
		t.Fatalf("%+v %v", again, err)
	}
}

func TestANumberNamesOneRequest(t *testing.T) {
	ctx, store := patient(t), openStore(t, smallStore())
	request := WithRequest(Request{Client: NewClientID(), Number: 1})
	first, err := store.Put(ctx, []byte("a"), nil, request)
	if err != nil {
		t.Fatal(err)
	}
	// No more is compared than the kind of its answer.
	again, err := store.Put(ctx, []byte("b"), nil, request)
	if err != nil || !again.Repeated || again.Sequence != first.Sequence {
		t.Fatalf("%+v %v", again, err)
	}
	_, err = store.Get(ctx, []byte("b"))
	wantError(t, err, ErrNotFound)
	_, err = store.Increment(ctx, []byte("n"), 1, request)
	wantError(t, err, ErrState)
	// Of a store that is being closed, too.
	wantError(t, store.core.closedNow(err), ErrState)
	store.core.isClosed.Store(true)
	wantError(t, store.core.closedNow(err), ErrState)
	store.core.isClosed.Store(false)
}

func TestAReportIsThereOnceItIsClosed(t *testing.T) {
	for _, isAsked := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "store")
		store, err := OpenStore(path, smallStore())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Put(patient(t), []byte("k"), nil); err != nil {
			t.Fatal(err)
		}
		store.Close()
		if store, err = OpenStore(path, smallStore()); err != nil {
			t.Fatal(err)
		}
		if isAsked {
			if _, err := store.Report(); err != nil {
				t.Fatal(err)
			}
		}
		store.Close()
		if report, err := store.Report(); err != nil || !report.Closed || report.Last == 0 {
			t.Fatalf("%+v %v", report, err)
		}
	}
}

func TestEventsOfAClusterHaveNames(t *testing.T) {
	for kind := ClusterRole; kind <= ClusterRecovered; kind++ {
		if name := kind.String(); name == "" || name[:4] == "kind" {
			t.Errorf("%d is %q", int32(kind), name)
		}
	}
	names := ClusterLinkUp.String() + " " + ClusterEventKind(99).String() + " " + NodeRole(0).String() + " " + NodeLearner.String()
	if names != "link-up kind 99 none learner" {
		t.Error(names)
	}
}

// A primary that is closed while a write of its waits for the other node does not know what will come of it.
func TestAWriteWhosePrimaryIsLostIsOfUnknownOutcome(t *testing.T) {
	ctx, key := patient(t), []byte("key")
	cluster := &nodes{path: t.TempDir(), stores: map[string]*Store{}}
	for _, name := range []string{"a", "b"} {
		cluster.members = append(cluster.members, Member{Name: name, Address: freeAddress()})
	}
	for _, member := range cluster.members {
		cluster.open(t, member.Name)
	}
	primary := cluster.agreed(t)
	store := cluster.stores[primary]
	first := must[Result](t)(store.Put(ctx, key, nil))
	for name, other := range cluster.stores {
		if name != primary {
			other.Close()
		}
	}
	request := Request{Client: NewClientID(), Number: 7}
	writes := map[string]func() error{
		"put":    func() error { _, err := store.Put(ctx, key, nil, WithRequest(request)); return err },
		"commit": func() error { _, err := store.Commit(ctx, Txn{Then: []Operation{OpPut(key, nil)}}); return err },
		"batch":  func() error { _, err := store.Batch(ctx, []Operation{OpPut(key, nil)}); return err },
	}
	told := map[string]chan error{}
	for name, write := range writes {
		answer := make(chan error, 1)
		told[name] = answer
		go func() { answer <- write() }()
	}
	eventually(t, "they are under way", func() bool {
		status, err := store.Status()
		return err == nil && status.Sequence >= first.Position.Entry+3
	})
	store.Close()
	for name, told := range told {
		err := <-told
		wantError(t, err, ErrOutcomeUnknown)
		wantError(t, err, ErrUnknownOutcome)
		var is *OutcomeUnknownError
		if !errors.As(err, &is) || is.Operation != name || (is.Request == request) != (name == "put") {
			t.Errorf("%s: got %#v", name, err)
		}
	}
}

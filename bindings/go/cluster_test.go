package trimtab

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var addressesGiven atomic.Uint32

// freeAddress is an address of this machine for each process, all of whose number is in it, and a port for each call.
func freeAddress() netip.AddrPort {
	pid, number := os.Getpid(), addressesGiven.Add(1)
	address := [4]byte{127, byte(192 + pid>>16&0x3f), byte(pid >> 8), byte(pid)}
	return netip.AddrPortFrom(netip.AddrFrom4(address), uint16(7400+number))
}

// nodes is the voters a, b and c and the learner d, all open.
type nodes struct {
	path    string
	members []Member
	stores  map[string]*Store
}

func openNodes(t *testing.T) *nodes {
	t.Helper()
	made := &nodes{path: t.TempDir(), stores: map[string]*Store{}}
	for _, name := range []string{"a", "b", "c", "d"} {
		made.members = append(made.members, Member{Name: name, Address: freeAddress(), Learner: name == "d"})
	}
	for _, member := range made.members {
		made.open(t, member.Name)
	}
	return made
}

func (n *nodes) open(t *testing.T, name string) {
	t.Helper()
	options := smallStore()
	options.Timeout = patience
	options.Cluster = &ClusterOptions{
		Node:              name,
		Members:           n.members,
		InsecurePlaintext: PlaintextLoopback,
		Cluster:           "of go",
		Patience:          patience,
		ClientAddress:     "clients of " + name,
		TransferTimeout:   patience,
		MessageBytes:      16 << 10,
	}
	store, err := OpenStore(filepath.Join(n.path, name), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	n.stores[name] = store
}

// primary waits, as events tell, until a node knows of a primary that is not but.
func (n *nodes) primary(t *testing.T, of, but string) string {
	t.Helper()
	events, err := n.stores[of].ClusterEvents()
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	for event, err := range events.All(patient(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if event.Kind != ClusterRole {
			continue
		}
		// It may be of before.
		status, err := n.stores[of].Cluster()
		if err != nil {
			t.Fatal(err)
		}
		if status.Primary != "" && status.Primary != but {
			return status.Primary
		}
	}
	return ""
}

// agreed waits until all nodes know of the same primary.
func (n *nodes) agreed(t *testing.T) string {
	t.Helper()
	for {
		known := map[string]bool{}
		for name := range n.stores {
			known[n.primary(t, name, "")] = true
		}
		for primary := range known {
			if len(known) == 1 {
				return primary
			}
		}
	}
}

// voters waits until a node votes itself, as far as it has a vote, and those who have one are these, with a link to each. A
// founder that came after the first election has its vote a little later, which the others may not know at first: when this
// has been waited for on each of them all vote, and one may be closed.
func (n *nodes) voters(t *testing.T, of string, names ...string) {
	t.Helper()
	events, err := n.stores[of].ClusterEvents()
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	slices.Sort(names)
	for {
		status, err := n.stores[of].Cluster()
		if err != nil {
			t.Fatal(err)
		}
		var linked []string
		voting := 0
		for _, node := range status.Nodes {
			if node.Voter {
				voting++
				if node.Linked {
					linked = append(linked, node.Name)
				}
			}
		}
		slices.Sort(linked)
		if status.Standing == StandingActive && voting == len(names) && slices.Equal(linked, names) {
			return
		}
		// Members and links that change are told.
		if _, err := events.Next(patient(t)); err != nil {
			t.Fatalf("%s sees %+v: %v", of, status.Nodes, err)
		}
	}
}

// until waits for an event of a kind that has this in one of its texts.
func until(t *testing.T, events *ClusterEvents, kind ClusterEventKind, text string) ClusterEvent {
	t.Helper()
	for event, err := range events.All(patient(t)) {
		if err != nil {
			t.Fatalf("no event of kind %d with %q: %v", kind, text, err)
		}
		if event.Kind == kind && (strings.Contains(event.Name, text) || strings.Contains(event.Detail, text)) {
			return event
		}
	}
	return ClusterEvent{}
}

func TestClusterWritesAndReadsOnEveryNode(t *testing.T) {
	ctx, cluster := patient(t), openNodes(t)
	key := []byte("key")
	names := []string{"a", "b", "c", "d"}
	for round := range 12 {
		value := fmt.Append(nil, round)
		result, err := cluster.stores[names[round%4]].Put(ctx, key, value)
		if err != nil || result.Durability < DurabilityQuorum || result.Nodes < 2 || result.Degraded || result.Position.Epoch == 0 {
			t.Fatalf("%+v %v", result, err)
		}
		for name, store := range cluster.stores {
			got, err := store.Get(ctx, key)
			if err != nil || string(got) != string(value) {
				t.Fatalf("%s has %q, not %q: %v", name, got, value, err)
			}
			appended, version, err := store.GetAppend(ctx, []byte("is "), key)
			if err != nil || string(appended) != "is "+string(value) || version == 0 {
				t.Fatalf("%q %v", appended, err)
			}
			if count, err := store.Count(ctx, AllKeys()); err != nil || count != 1 {
				t.Fatalf("%d %v", count, err)
			}
			if entries, err := store.Range(ctx, AllKeys()); err != nil || len(entries) != 1 {
				t.Fatalf("%v %v", entries, err)
			}
			_, err = store.Get(ctx, []byte("none"))
			wantError(t, err, ErrNotFound)
		}
	}
	four, err := cluster.stores["d"].Put(ctx, []byte("four"), nil, WithNodes(4))
	if err != nil || four.Nodes != 4 {
		t.Fatalf("%+v %v", four, err)
	}
	all, err := cluster.stores["a"].Put(ctx, []byte("all"), nil, WithDurability(DurabilityAll))
	if err != nil || all.Durability != DurabilityAll || all.Nodes < 3 {
		t.Fatalf("%+v %v", all, err)
	}
	for _, store := range cluster.stores {
		here := []CallOption{WithReadLevel(ReadLocal), WithPosition(all.Position)}
		if _, err := store.GetEntry(ctx, []byte("all"), here...); err != nil {
			t.Fatal(err)
		}
		if count, err := store.Count(ctx, AllKeys(), here...); err != nil || count != 3 {
			t.Fatalf("%d %v", count, err)
		}
		if entries, err := store.Range(ctx, AllKeys(), append(here, WithReverse(), WithLimit(1))...); err != nil || string(entries[0].Key) != "key" {
			t.Fatalf("%v %v", entries, err)
		}
		if _, err := store.Get(ctx, key, WithAgeMax(5*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	// What no replica can say it has is read by the primary.
	for _, name := range names {
		if _, err := cluster.stores[name].Get(ctx, key, WithAgeMax(0)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	request := Request{Client: NewClientID(), Number: 1}
	if _, err := cluster.stores["d"].Put(ctx, []byte("asked"), nil, WithRequest(request)); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		outcome, err := cluster.stores[name].Outcome(ctx, request)
		if err != nil || outcome.State != RequestApplied || outcome.Result.Position.Epoch == 0 {
			t.Errorf("%s: %+v, %v", name, outcome, err)
		}
		outcome, err = cluster.stores[name].Outcome(ctx, Request{Client: request.Client, Number: 2})
		if err != nil || outcome.State != RequestNotApplied {
			t.Errorf("%s: %+v, %v", name, outcome, err)
		}
	}
	later := all.Position
	later.Entry += 1000
	soon, cancel := context.WithTimeout(ctx, 60*time.Millisecond)
	defer cancel()
	_, err = cluster.stores["d"].Get(soon, key, WithReadLevel(ReadLocal), WithPosition(later))
	if !errors.Is(err, ErrNotPrimary) && !errors.Is(err, ErrTimedOut) && !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	_, err = cluster.stores["d"].Get(ctx, key, WithLimit(1))
	wants(t, err, ErrInvalidArgument, "get", "WithLimit")
	done, err := cluster.stores["d"].Commit(ctx, Txn{Then: []Operation{OpIncrement([]byte("n"), 2), OpGet(key)}})
	if err != nil || done.Steps[0].Number != 2 {
		t.Fatalf("%+v %v", done, err)
	}
	answers, err := cluster.stores["b"].Batch(ctx, []Operation{OpIncrement([]byte("n"), 3), OpPut([]byte("x"), nil)}, WithNodes(4))
	if err != nil || answers[0].Number != 5 || answers[1].Nodes != 4 {
		t.Fatalf("%+v %v", answers, err)
	}
}

func TestClusterStatus(t *testing.T) {
	cluster := openNodes(t)
	primary := cluster.agreed(t)
	if _, err := cluster.stores[primary].Put(patient(t), []byte("k"), nil, WithNodes(4)); err != nil {
		t.Fatal(err)
	}
	for name, store := range cluster.stores {
		status, err := store.Cluster()
		if err != nil || status.Cluster != "of go" || status.Node != name || status.Primary != primary || status.Standing != StandingActive {
			t.Fatalf("%+v %v", status, err)
		}
		want := NodeReplica
		switch name {
		case primary:
			want = NodePrimary
		case "d":
			want = NodeLearner
		}
		if status.Role != want || status.Trouble != "" || status.Epoch == 0 || (status.Lease != nil) != (name == primary) {
			t.Errorf("%+v", status)
		}
		if status.PrimaryAddress != "clients of "+primary {
			t.Errorf("clients reach the primary at %q", status.PrimaryAddress)
		}
		if len(status.Nodes) != 4 {
			t.Fatalf("%+v", status.Nodes)
		}
		for _, node := range status.Nodes {
			at := slices.IndexFunc(cluster.members, func(member Member) bool { return member.Name == node.Name })
			if at < 0 || node.Address != cluster.members[at].Address || node.Voter == cluster.members[at].Learner {
				t.Errorf("%+v", node)
			}
			if node.Primary != (node.Name == primary) || (node.Lag != nil) != (name == primary) {
				t.Errorf("%s sees %+v", name, node)
			}
		}
	}
}

func TestClusterChanges(t *testing.T) {
	ctx, cluster := patient(t), openNodes(t)
	primary := cluster.agreed(t)
	others := slices.DeleteFunc([]string{"a", "b", "c"}, func(name string) bool { return name == primary })
	to, other := others[0], others[1]
	events, err := cluster.stores[other].ClusterEvents()
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	wants(t, cluster.stores[other].Transfer(ctx, to), ErrNotPrimary, "transfer", primary)
	wants(t, cluster.stores[primary].Transfer(ctx, "nobody"), ErrNotFound, "transfer", "nobody")
	wants(t, cluster.stores[primary].ReloadCertificates(ctx), ErrState, "reload certificates", "plaintext")
	if err := cluster.stores[primary].Transfer(ctx, to); err != nil {
		t.Fatal(err)
	}
	until(t, events, ClusterRole, to)
	leader := cluster.stores[to]
	if err := leader.PromoteLearner(ctx, "d"); err != nil {
		t.Fatal(err)
	}
	if event := until(t, events, ClusterMembers, "d"); !strings.Contains(event.Name+event.Detail, "d") {
		t.Errorf("%+v", event)
	}
	if err := leader.AddNode(ctx, "e", netip.AddrPort{}); err != nil {
		t.Fatal(err)
	}
	until(t, events, ClusterMembers, "e")
	if err := leader.RemoveNode(ctx, "e"); err != nil {
		t.Fatal(err)
	}
	wants(t, leader.AddNode(ctx, "e", freeAddress()), ErrInvalidArgument, "add node", "used once")
	wants(t, leader.ReplaceNode(ctx, "e", "a"), ErrNotFound, "replace node", "e")
	fenced, err := cluster.stores["d"].ClusterEvents()
	if err != nil {
		t.Fatal(err)
	}
	if err := leader.RemoveNode(ctx, "d"); err != nil {
		t.Fatal(err)
	}
	until(t, fenced, ClusterFenced, "removed")
	fenced.Close()
	_, err = fenced.Next(ctx)
	wants(t, err, ErrClosed, "cluster events", "not followed")
	_, err = cluster.stores["d"].Put(ctx, []byte("k"), nil)
	wants(t, err, ErrState, "put", "removed")

	// A handover to a node that is gone holds nobody up, outlasts who waits for it, and is called off.
	if err := cluster.stores[primary].Close(); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := leader.Transfer(short, primary); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrTimedOut) {
		t.Errorf("a handover to nobody: %v", err)
	}
	if _, err := leader.Put(ctx, []byte("meanwhile"), nil); err != nil {
		t.Fatal(err)
	}
	_, err = cluster.stores[other].AbortTransfer()
	wants(t, err, ErrNotPrimary, "abort transfer", to)
	for _, wanted := range []bool{true, false} {
		if aborted, err := leader.AbortTransfer(); aborted != wanted || err != nil {
			t.Errorf("aborted %v, %v", aborted, err)
		}
	}
	cluster.open(t, primary)
	if _, err := leader.Put(ctx, []byte("three"), nil, WithNodes(3)); err != nil {
		t.Fatal(err)
	}

	// A primary that is closed hands over, and the others go on, whoever waits.
	var writers sync.WaitGroup
	for range 4 {
		writers.Add(1)
		go func() {
			defer writers.Done()
			for range 20 {
				if _, err := cluster.stores[other].Increment(ctx, []byte("n"), 1); err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	if err := leader.Close(); err != nil {
		t.Fatal(err)
	}
	writers.Wait()
	if now := cluster.primary(t, other, to); now == to {
		t.Errorf("%s is primary, and closed", now)
	}
	result, err := cluster.stores[other].Increment(ctx, []byte("n"), 0)
	if err != nil || result.Number != 80 {
		t.Errorf("%+v %v", result, err)
	}
	followed := make(chan error, 1)
	go func() {
		for _, err := range events.All(ctx) {
			if err != nil {
				followed <- err
			}
		}
	}()
	cluster.stores[other].Close()
	wantError(t, <-followed, ErrClosed)
	_, err = cluster.stores[other].Cluster()
	wantError(t, err, ErrClosed)
}

func TestADeadNodeIsReplacedAndThenAnotherOneDies(t *testing.T) {
	ctx, cluster := patient(t), openNodes(t)
	primary := cluster.agreed(t)
	for _, name := range []string{"a", "b", "c"} {
		cluster.voters(t, name, "a", "b", "c")
	}
	others := slices.DeleteFunc([]string{"a", "b", "c"}, func(name string) bool { return name == primary })
	lost, other := others[0], others[1]
	leader := cluster.stores[primary]
	cluster.stores[lost].Close()
	// All that are left have it, so the learner has caught up.
	if done, err := leader.Put(ctx, []byte("key"), []byte("1"), WithNodes(3)); err != nil || done.Nodes != 3 {
		t.Fatalf("%+v %v", done, err)
	}
	wants(t, leader.ReplaceNode(ctx, lost, other), ErrInvalidArgument, "replace node", "no learner")
	wants(t, cluster.stores["d"].ReplaceNode(ctx, lost, "d"), ErrNotPrimary, "replace node", primary)
	if err := leader.ReplaceNode(ctx, lost, "d"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{primary, other, "d"} {
		cluster.voters(t, name, primary, other, "d")
		status, err := cluster.stores[name].Cluster()
		if err != nil || len(status.Nodes) != 3 {
			t.Errorf("%+v %v", status, err)
		}
	}
	wants(t, leader.ReplaceNode(ctx, lost, "d"), ErrNotFound, "replace node", lost)
	// Of the three that there were at first one is left; with the new one it is a majority.
	leader.Close()
	for turn := range 20 {
		key := fmt.Append(nil, turn)
		done, err := cluster.stores[[]string{other, "d"}[turn%2]].Put(ctx, key, key)
		if err != nil || done.Nodes != 2 {
			t.Fatalf("%+v %v", done, err)
		}
		wantValue(t, cluster.stores[other], string(key), string(key))
		wantValue(t, cluster.stores["d"], string(key), string(key))
	}
	wantValue(t, cluster.stores["d"], "key", "1")
	if now := cluster.primary(t, "d", primary); now != other && now != "d" {
		t.Errorf("%s is primary", now)
	}
}

// authority makes certificates.
type authority struct {
	folder      string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	ca          string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{folder: t.TempDir()}
	a.ca = filepath.Join(a.folder, "ca.pem")
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.certificate, a.key = a.sign(t, template, template, nil, a.ca, "")
	return a
}

// issue gives a certificate for this node's name; its key stands beside it, or in a file of its own.
func (a *authority) issue(t *testing.T, node string, beside bool) *ClusterTLS {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: node}, DNSNames: []string{node},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	tls := &ClusterTLS{Certificate: filepath.Join(a.folder, node+".pem"), CA: a.ca}
	if beside {
		a.sign(t, template, a.certificate, a.key, tls.Certificate, tls.Certificate)
		return tls
	}
	tls.Key = filepath.Join(a.folder, node+".key")
	a.sign(t, template, a.certificate, a.key, tls.Certificate, tls.Key)
	return tls
}

// sign writes a certificate to one file and its key to another or the same one, if any.
func (a *authority) sign(t *testing.T, template, by *x509.Certificate, with *ecdsa.PrivateKey, file, keyFile string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if with == nil {
		with = key
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, by, &key.PublicKey, with)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	written := map[string][]byte{file: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})}
	if keyFile != "" {
		written[keyFile] = append(written[keyFile], pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})...)
	}
	for name, text := range written {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	certificate, err := x509.ParseCertificate(signed)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

func TestClusterSecuredAndAllOptions(t *testing.T) {
	ctx, path := patient(t), t.TempDir()
	cluster := &nodes{stores: map[string]*Store{}}
	for _, name := range []string{"a", "b", "c"} {
		cluster.members = append(cluster.members, Member{Name: name, Address: freeAddress()})
	}
	join := func(member Member, tls *ClusterTLS, folder string) *Store {
		options := smallStore()
		options.Timeout = patience
		options.Cluster = &ClusterOptions{
			Node:            member.Name,
			Members:         cluster.members,
			TLS:             tls,
			Cluster:         "secured",
			Listen:          member.Address,
			Beginning:       BeginningNew,
			Directory:       DirectoryDetect,
			Durability:      DurabilityQuorum,
			Nodes:           3,
			Read:            ReadReplica,
			AgeMax:          patience,
			NoForward:       true,
			Patience:        patience,
			ForwardMax:      1000,
			ClientAddress:   "clients of " + member.Name,
			DegradeAfter:    200 * time.Millisecond,
			TransferTimeout: patience,
			MessageBytes:    16 << 10,
			KeptBytesMax:    Ptr(uint64(1 << 20)),
			SnapshotRate:    1 << 30,
			SlowFlush:       Ptr(5 * time.Second),
			ElectionTicks:   30,
		}
		store, err := OpenStore(filepath.Join(path, folder), options)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		return store
	}
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	for at, member := range cluster.members {
		cluster.stores[member.Name] = join(member, ours.issue(t, member.Name, at == 0), member.Name)
	}
	primary := cluster.agreed(t)
	first := cluster.stores[primary]
	// At all of them, without having been asked for; unless one is too late, which is told.
	done, err := first.Put(ctx, []byte("key"), []byte("value"))
	if err != nil || (done.Nodes != 3 && !done.Degraded) {
		t.Fatalf("%+v %v", done, err)
	}
	var last Member
	for _, member := range cluster.members {
		if member.Name == primary {
			continue
		}
		last = member
		store := cluster.stores[member.Name]
		value, err := store.Get(ctx, []byte("key"), WithReadLevel(ReadLocal), WithPosition(done.Position))
		if err != nil || string(value) != "value" {
			t.Fatalf("%q %v", value, err)
		}
		if value, err = store.Get(ctx, []byte("key")); err != nil || string(value) != "value" {
			t.Fatalf("%q %v", value, err)
		}
		if _, err = store.Put(ctx, []byte("key"), []byte("other")); !errors.Is(err, ErrNotPrimary) {
			t.Fatal(err)
		}
	}
	for end, told := time.Now().Add(patience), 0; told != 3; time.Sleep(10 * time.Millisecond) {
		status, err := first.Cluster()
		if err != nil || time.Now().After(end) {
			t.Fatalf("%+v %v", status, err)
		}
		told = 0
		for _, node := range status.Nodes {
			if node.ClientAddress == "clients of "+node.Name {
				told++
			}
		}
	}
	// Who is certified by others stays out.
	events, err := first.ClusterEvents()
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	cluster.stores[last.Name].Close()
	done, err = first.Put(ctx, []byte("key"), []byte("two of three"))
	if err != nil || !done.Degraded || done.Nodes != 2 {
		t.Fatalf("%+v %v", done, err)
	}
	stranger := join(last, theirs.issue(t, last.Name, false), "stranger")
	until(t, events, ClusterRefused, "certificate")
	// The one whose name comes first dials, and hears of whom it meant to reach. Who is dialled by a stranger that takes no
	// certificate of it knows only from where.
	status, err := first.Cluster()
	if err != nil {
		t.Fatal(err)
	}
	seen := status.Nodes[slices.IndexFunc(status.Nodes, func(node ClusterNode) bool { return node.Name == last.Name })]
	why := status.LastRefusal
	if primary < last.Name {
		why = seen.Trouble
	}
	if !strings.Contains(why, "certificate") || seen.Linked {
		t.Errorf("%+v", status)
	}
	if status, err := stranger.Cluster(); err != nil || status.Primary != "" {
		t.Errorf("%+v %v", status, err)
	}
}

func TestClusterRefusals(t *testing.T) {
	ctx, alone := patient(t), openStore(t, smallStore())
	_, err := alone.Cluster()
	wants(t, err, ErrState, "cluster", "")
	_, err = alone.ClusterEvents()
	wants(t, err, ErrState, "cluster events", "")
	wants(t, alone.Transfer(ctx, "b"), ErrState, "transfer", "")
	wants(t, alone.ReloadCertificates(ctx), ErrState, "reload certificates", "")
	put(t, alone, "k", "v")
	// A store of one node sees all that was written whatever is asked.
	if value, err := alone.Get(ctx, []byte("k"), WithReadLevel(ReadPrimary), WithAgeMax(0)); err != nil || string(value) != "v" {
		t.Errorf("%q %v", value, err)
	}
	member := []Member{{Name: "a", Address: netip.MustParseAddrPort("127.0.0.1:7400")}}
	far := []Member{{Name: "a", Address: netip.MustParseAddrPort("10.0.0.5:7400")}}
	for _, refused := range []struct {
		options ClusterOptions
		part    string
	}{
		{ClusterOptions{Node: "a", Members: member}, "security"},
		{ClusterOptions{Node: "b", Members: member, InsecurePlaintext: PlaintextLoopback}, "not among"},
		{ClusterOptions{Node: "No", Members: member, InsecurePlaintext: PlaintextLoopback}, "node name"},
		{ClusterOptions{Node: "a", Members: far, InsecurePlaintext: PlaintextLoopback}, "10.0.0.5"},
		{ClusterOptions{Node: "a", Members: member, InsecurePlaintext: 3}, "InsecurePlaintext"},
		{ClusterOptions{Node: "a", Members: member, InsecurePlaintext: 1, TLS: &ClusterTLS{}}, "TLS"},
		{ClusterOptions{Node: "a", Members: member, InsecurePlaintext: 1, Patience: time.Nanosecond}, "Patience"},
		{ClusterOptions{Node: "a", Members: member, InsecurePlaintext: 1, Beginning: 7}, "beginning"},
		{ClusterOptions{Node: "a", Members: member, InsecurePlaintext: 1, Read: 9}, "level"},
	} {
		options := smallStore()
		refused.options.MessageBytes = 16 << 10
		options.Cluster = &refused.options
		_, err := OpenStore(t.TempDir(), options)
		wants(t, err, ErrInvalidArgument, "open store", refused.part)
	}
	options := smallStore()
	options.Cluster = &ClusterOptions{Node: "a", Members: []Member{{Name: "a"}}, InsecurePlaintext: PlaintextLoopback, MessageBytes: 16 << 10}
	options.Hosted = true
	_, err = OpenStore(t.TempDir(), options)
	wantError(t, err, ErrUnsupported)
	options.Hosted = false
	options.Cluster.InsecurePlaintext = PlaintextNone
	options.Cluster.TLS = &ClusterTLS{Certificate: "/nowhere/node.pem", CA: "/nowhere/ca.pem"}
	if _, err = OpenStore(t.TempDir(), options); err == nil || !strings.Contains(err.Error(), "/nowhere/") {
		t.Error(err)
	}
}

func TestADirectoryIsPromotedByForce(t *testing.T) {
	ctx, path := patient(t), t.TempDir()
	options := smallStore()
	options.Timeout = patience
	options.Cluster = &ClusterOptions{
		Node: "x", Members: []Member{{Name: "x"}}, InsecurePlaintext: PlaintextLoopback, MessageBytes: 16 << 10,
		Patience: patience, SlowFlush: Ptr(time.Duration(0)),
	}
	store := openStoreIn(t, path, options)
	put(t, store, "k", "v")
	if err := store.AddNode(ctx, "l", netip.AddrPort{}); err != nil {
		t.Fatal(err)
	}
	_, err := PromoteDirectory(ctx, path)
	wantError(t, err, ErrState)
	store.Close()
	promoted, err := PromoteDirectory(ctx, path)
	if err != nil || promoted.Cluster != "trimtab" || promoted.Node != "x" || promoted.Generation != 2 ||
		promoted.Last < 1 || len(promoted.Out) != 0 || !slices.Equal(promoted.Learners, []string{"l"}) {
		t.Errorf("%+v %v", promoted, err)
	}
	store = openStoreIn(t, path, options)
	put(t, store, "on", "v")
	wantValue(t, store, "k", "v")
	store.Close()
	_, err = PromoteDirectory(ctx, t.TempDir())
	wantError(t, err, ErrInvalidArgument)

	for part, change := range map[string]func(*ClusterOptions){
		"election_ticks": func(o *ClusterOptions) { o.ElectionTicks = 9 },
		"slow_flush":     func(o *ClusterOptions) { o.SlowFlush = Ptr(time.Millisecond) },
		"kept_bytes_max": func(o *ClusterOptions) { o.KeptBytesMax = Ptr(uint64(1 << 49)) },
		"SlowFlush":      func(o *ClusterOptions) { o.SlowFlush = Ptr(-time.Second) },
	} {
		changed := *options.Cluster
		change(&changed)
		refused := options
		refused.Cluster = &changed
		_, err := OpenStore(path, refused)
		wants(t, err, ErrInvalidArgument, "open store", part)
	}
}

package trimtab

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"strconv"
	"testing"
	"time"
)

// model is what a store must be like: a map.
type model map[string]*modelled

type modelled struct {
	value            string
	version, created uint64
	changes          uint64
}

func (m model) put(key, value string, sequence uint64) {
	had := m[key]
	if had == nil {
		had = &modelled{created: sequence}
		m[key] = had
	}
	had.value, had.version = value, sequence
	had.changes++
}

func (m model) version(key string) uint64 {
	if had := m[key]; had != nil {
		return had.version
	}
	return 0
}

func (m model) keys() []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

// Random operations do to a store what they do to a map, over restarts and snapshots. TRIMTAB_GO_SEED plays one seed
// again.
func TestAStoreIsLikeAMap(t *testing.T) {
	seeds := []uint64{1, 2, 3, 4, 5, uint64(time.Now().UnixNano())}
	if given := os.Getenv("TRIMTAB_GO_SEED"); given != "" {
		seed, err := strconv.ParseUint(given, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seeds = []uint64{seed}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { playModel(t, seed) })
	}
}

func playModel(t *testing.T, seed uint64) {
	draw := rand.New(rand.NewPCG(seed, 0))
	path := t.TempDir()
	options := smallStore()
	options.Durability = DurabilityMemory
	store := openStoreIn(t, path, options)
	like := model{}
	for step := range 3000 {
		key := fmt.Sprintf("%02d", draw.IntN(40))
		value := fmt.Sprint(draw.IntN(1000))
		if draw.IntN(50) == 0 {
			value = fmt.Sprintf("%0*d", draw.IntN(3000), 7)
		}
		what := draw.IntN(14)
		fail := func(format string, arguments ...any) {
			t.Helper()
			t.Fatalf("step %d, operation %d at %s: %s", step, what, key, fmt.Sprintf(format, arguments...))
		}
		had := like[key]
		switch what {
		case 0, 1:
			result := must[Result](t)(store.GetAndSet(bg, []byte(key), []byte(value)))
			previous, isThere := result.Previous()
			if isThere != (had != nil) || isThere && string(previous.Value) != had.value {
				fail("there was %+v, want %+v", previous, had)
			}
			like.put(key, value, result.Sequence)
		case 2:
			version := like.version(key) + uint64(draw.IntN(2))
			result := must[Result](t)(store.CompareAndSet(bg, []byte(key), version, []byte(value)))
			if result.Done != (version == like.version(key)) {
				fail("compared with %d: %+v", version, result)
			}
			if result.Done {
				like.put(key, value, result.Sequence)
			}
			if result.Version != like.version(key) {
				fail("version %d, want %d", result.Version, like.version(key))
			}
		case 3:
			result := must[Result](t)(store.Delete(bg, []byte(key)))
			if result.Done != (had != nil) {
				fail("deleted: %+v", result)
			}
			delete(like, key)
		case 4, 5:
			result, err := store.Increment(bg, []byte(key), 3)
			number := int64(0)
			if had != nil {
				var bad error
				if number, bad = strconv.ParseInt(had.value, 10, 64); bad != nil || strconv.FormatInt(number, 10) != had.value {
					if err == nil && bad != nil {
						fail("a value that is no number was added to: %q", had.value)
					}
					if err != nil {
						break
					}
				}
			}
			if err != nil || result.Number != number+3 {
				fail("the sum is %d, want %d (%v)", result.Number, number+3, err)
			}
			like.put(key, fmt.Sprint(number+3), result.Sequence)
		case 6:
			result := must[Result](t)(store.Append(bg, []byte(key), []byte("+")))
			before := ""
			if had != nil {
				before = had.value
			}
			like.put(key, before+"+", result.Sequence)
			if int(result.Count) != len(before)+1 {
				fail("appended: %+v", result)
			}
		case 7:
			from, to := fmt.Sprintf("%02d", draw.IntN(40)), fmt.Sprintf("%02d", draw.IntN(40))
			limit := draw.IntN(3)
			result := must[Result](t)(store.DeleteRange(bg, Between([]byte(from), []byte(to)), WithLimit(uint64(limit))))
			count := 0
			for _, each := range like.keys() {
				if each >= from && each < to && (limit == 0 || count < limit) {
					delete(like, each)
					count++
				}
			}
			if int(result.Count) != count {
				fail("deleted %d from %s to %s, want %d", result.Count, from, to, count)
			}
		case 8:
			isLess := had != nil && had.value < value || had == nil
			result := must[TxnResult](t)(store.Commit(bg, Txn{
				If:   []Comparison{CompareValue([]byte(key), RelationLess, []byte(value))},
				Then: []Operation{OpPut([]byte(key), []byte(value)), OpPut([]byte(key+"x"), []byte(value))},
				Else: []Operation{OpDelete([]byte(key + "x"))},
			}))
			if result.Done != isLess {
				fail("%+v is less than %q: %v", had, value, result.Done)
			}
			if isLess {
				like.put(key, value, result.Sequence)
				like.put(key+"x", value, result.Sequence)
			} else {
				delete(like, key+"x")
			}
		case 9:
			var batch []Operation
			for range draw.IntN(5) {
				batch = append(batch, OpPut([]byte(key), []byte(value)))
			}
			for _, answer := range must[[]Answer](t)(store.Batch(bg, batch)) {
				like.put(key, value, answer.Sequence)
			}
		case 10:
			entry, err := store.GetEntry(bg, []byte(key))
			if had == nil {
				wantError(t, err, ErrNotFound)
			} else if string(entry.Value) != had.value || entry.Version != had.version || entry.Created != had.created ||
				entry.Changes != had.changes {
				fail("the entry is %+v, want %+v", entry, had)
			}
		case 11:
			var options []CallOption
			limit := draw.IntN(6)
			options = append(options, WithLimit(uint64(limit)))
			want := like.keys()
			if draw.IntN(2) == 0 {
				options = append(options, WithReverse())
				slices.Reverse(want)
			}
			if limit != 0 && limit < len(want) {
				want = want[:limit]
			}
			var got []string
			for _, entry := range must[[]Entry](t)(store.Range(bg, AllKeys(), options...)) {
				got = append(got, string(entry.Key))
				if string(entry.Value) != like[string(entry.Key)].value {
					fail("in a range %s is %q", entry.Key, entry.Value)
				}
			}
			if !slices.Equal(got, want) {
				fail("the range is %v, want %v", got, want)
			}
		case 12:
			if count := must[uint64](t)(store.Count(bg, Prefix([]byte(key[:1])))); true {
				want := 0
				for each := range like {
					if each[0] == key[0] {
						want++
					}
				}
				if int(count) != want {
					fail("counted %d, want %d", count, want)
				}
			}
		case 13:
			switch draw.IntN(20) {
			case 0:
				store.Close()
				store = openStoreIn(t, path, options)
			case 1:
				must[uint64](t)(store.Snapshot(bg))
			}
		}
	}
}

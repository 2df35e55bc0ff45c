package trimtab

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// header is the C interface, and what follows is where each of its parts is found in Go, or why it is not.
const header = "../../include/trimtab.h"

var functions = map[string]counterpart{
	"trimtab_version_copy":     {is: "Version"},
	"trimtab_abi_version":      {is: "ABIVersion"},
	"trimtab_feature_has":      {is: "HasFeature"},
	"trimtab_now":              {is: "Now"},
	"trimtab_last_error_copy":  {is: "Error.Detail"},
	"trimtab_status_name_copy": {is: "Code.String"},

	"trimtab_pool_options_new":              {is: "PoolOptions"},
	"trimtab_pool_options_free":             {is: "PoolOptions"},
	"trimtab_pool_options_set_policy":       {is: "PoolOptions.Policy"},
	"trimtab_pool_options_set_policy_name":  {is: "PoolOptions.PolicyName"},
	"trimtab_pool_options_set_hash":         {is: "PoolOptions.Hash"},
	"trimtab_pool_options_set_bounded_load": {is: "PoolOptions.BoundedLoad"},
	"trimtab_pool_options_set_backups":      {is: "PoolOptions.Backups"},
	"trimtab_pool_options_set_formula":      {is: "PoolOptions.Formula"},
	"trimtab_pool_options_set_tick_ms":      {is: "PoolOptions.Tick"},
	"trimtab_pool_options_set_blend":        {is: "PoolOptions.Blend"},
	"trimtab_pool_options_set_gain":         {is: "PoolOptions.Gain"},
	"trimtab_pool_options_set_history":      {is: "PoolOptions.History"},
	"trimtab_pool_options_set_floor":        {is: "PoolOptions.Floor"},
	"trimtab_pool_options_set_stale_ms":     {is: "PoolOptions.Stale"},
	"trimtab_pool_options_set_decay_ms":     {is: "PoolOptions.Decay"},
	"trimtab_pool_options_set_seed":         {is: "PoolOptions.Seed"},
	"trimtab_pool_options_set_hash_seed":    {is: "PoolOptions.HashSeed"},
	"trimtab_pool_options_set_lanes":        {is: "PoolOptions.Lanes"},
	"trimtab_pool_options_set_picks_max":    {is: "PoolOptions.PicksMax"},

	"trimtab_backend_new":          {is: "Backend.Address"},
	"trimtab_backend_free":         {is: "Backend"},
	"trimtab_backend_set_name":     {is: "Backend.Name"},
	"trimtab_backend_set_weight":   {is: "Backend.Weight"},
	"trimtab_backend_set_maxconn":  {is: "Backend.Maxconn"},
	"trimtab_backend_set_tier":     {is: "Backend.Tier"},
	"trimtab_backend_set_tag":      {is: "Backend.Tag"},
	"trimtab_backend_set_admin":    {is: "Backend.Admin"},
	"trimtab_backend_set_observed": {is: "Backend.Observed"},

	"trimtab_pool_new":                     {is: "NewPool"},
	"trimtab_pool_free":                    {is: "Pool.Close"},
	"trimtab_pool_add":                     {is: "Pool.Add"},
	"trimtab_pool_add_backend":             {not: "Pool.Add does this with a Backend literal"},
	"trimtab_pool_add_all":                 {is: "Pool.AddAll"},
	"trimtab_pool_remove":                  {is: "Pool.Remove"},
	"trimtab_pool_set_weight":              {is: "Pool.SetWeight"},
	"trimtab_pool_set_maxconn":             {is: "Pool.SetMaxconn"},
	"trimtab_pool_set_tier":                {is: "Pool.SetTier"},
	"trimtab_pool_set_tag":                 {is: "Pool.SetTag"},
	"trimtab_pool_set_admin":               {is: "Pool.SetAdmin"},
	"trimtab_pool_set_observed":            {is: "Pool.SetObserved"},
	"trimtab_pool_find":                    {is: "Pool.Find"},
	"trimtab_pool_ids_copy":                {is: "Pool.IDs"},
	"trimtab_pool_address_copy":            {is: "Pick.AddressString"},
	"trimtab_pool_name_copy":               {is: "BackendStatistics.Name"},
	"trimtab_pool_pick":                    {is: "Pool.Pick"},
	"trimtab_pool_pick_avoiding":           {is: "Pool.PickAvoiding"},
	"trimtab_pool_done":                    {is: "Pool.Done"},
	"trimtab_pool_explain_copy":            {is: "Pool.Explain"},
	"trimtab_pool_statistics_read":         {is: "Pool.Statistics"},
	"trimtab_pool_backend_statistics_read": {is: "Pool.Backend"},
	"trimtab_pool_handle_timeout":          {is: "Pool.HandleTimeout"},
	"trimtab_pool_next_deadline":           {is: "Pool.NextDeadline"},

	"trimtab_pool_options_set_panic_threshold":       {is: "PoolOptions.PanicThreshold"},
	"trimtab_pool_options_set_fail_open":             {is: "PoolOptions.FailOpen"},
	"trimtab_pool_options_set_slow_start_ms":         {is: "PoolOptions.SlowStart"},
	"trimtab_pool_options_set_slow_start_aggression": {is: "PoolOptions.SlowStartAggression"},
	"trimtab_pool_options_set_slow_start_min":        {is: "PoolOptions.SlowStartMin"},
	"trimtab_pool_options_set_maxconn":               {is: "PoolOptions.Maxconn"},
	"trimtab_pool_options_set_connection_rate":       {is: "PoolOptions.ConnectionRate"},
	"trimtab_pool_options_set_pending_max":           {is: "PoolOptions.PendingMax"},
	"trimtab_pool_options_set_retry_budget":          {is: "PoolOptions.RetryBudget"},
	"trimtab_pool_options_set_retry_budget_off":      {is: "PoolOptions.RetryBudgetOff"},
	"trimtab_pool_options_set_retry_min":             {is: "PoolOptions.RetryMin"},
	"trimtab_pool_options_set_retries_max":           {is: "PoolOptions.RetriesMax"},
	"trimtab_pool_options_set_outlier":               {is: "PoolOptions.Outlier"},
	"trimtab_pool_options_set_adaptive":              {is: "PoolOptions.Adaptive"},
	"trimtab_outlier_defaults_read":                  {is: "OutlierOptions"},
	"trimtab_adaptive_defaults_read":                 {is: "AdaptiveOptions"},
	"trimtab_backend_set_connection_rate":            {is: "Backend.ConnectionRate"},
	"trimtab_pool_set_connection_rate":               {is: "Pool.SetConnectionRate"},
	"trimtab_pool_set_observed_with":                 {is: "Pool.SetObservedWith"},
	"trimtab_pool_retry_begin":                       {is: "Pool.RetryBegin"},
	"trimtab_pool_retry_end":                         {is: "Pool.RetryEnd"},
	"trimtab_pool_may_retry":                         {is: "Pool.MayRetry"},
	"trimtab_pool_try_want":                          {is: "Pool.TryWant"},
	"trimtab_pool_unwant":                            {is: "Pool.Unwant"},
	"trimtab_pool_reason_copy":                       {is: "BackendStatistics.Reason"},
	"trimtab_pool_observe":                           {is: "PoolOptions.OnEvent"},

	"trimtab_check_new":              {is: "NewCheck"},
	"trimtab_check_free":             {is: "Check.Close"},
	"trimtab_check_take_step":        {is: "Check.TakeStep"},
	"trimtab_check_target_copy":      {is: "Check.Target"},
	"trimtab_check_status_read":      {is: "Check.Status"},
	"trimtab_check_reason_copy":      {is: "CheckState.Reason"},
	"trimtab_check_failure_copy":     {is: "CheckState.Failure"},
	"trimtab_check_handle_connected": {is: "Check.HandleConnected"},
	"trimtab_check_handle_written":   {is: "Check.HandleWritten"},
	"trimtab_check_handle_bytes":     {is: "Check.HandleBytes"},
	"trimtab_check_handle_end":       {is: "Check.HandleEnd"},
	"trimtab_check_handle_failed":    {is: "Check.HandleFailed"},
	"trimtab_check_handle_abandoned": {is: "Check.HandleAbandoned"},
	"trimtab_check_handle_suspicion": {is: "Check.HandleSuspicion"},

	"trimtab_server_new":                      {is: "NewServer"},
	"trimtab_server_new_from_file":            {is: "ServerOptions.File"},
	"trimtab_server_free":                     {is: "Server.Close"},
	"trimtab_server_adopt":                    {is: "Server.Adopt"},
	"trimtab_server_start":                    {is: "Server.Start"},
	"trimtab_server_drain":                    {is: "Server.Drain"},
	"trimtab_server_stop":                     {is: "Server.Stop"},
	"trimtab_server_wait":                     {is: "Server.Wait"},
	"trimtab_server_state":                    {is: "Server.State"},
	"trimtab_server_address_copy":             {is: "Server.Address"},
	"trimtab_server_admin_address_copy":       {is: "Server.AdminAddress"},
	"trimtab_server_pool":                     {is: "Server.Pool"},
	"trimtab_server_start_hosted":             {is: "Server.StartHosted"},
	"trimtab_server_poll_fd":                  {is: "Server.PollFD"},
	"trimtab_server_next_deadline":            {is: "Server.NextDeadline"},
	"trimtab_server_next_timeout":             {not: "Server.WaitTurn waits; a loop of the caller's has NextDeadline"},
	"trimtab_server_turn":                     {is: "Server.Turn"},
	"trimtab_server_statistics_read":          {is: "Server.Statistics"},
	"trimtab_server_listener_statistics_read": {is: "Server.ListenerStatistics"},
	"trimtab_server_status_copy":              {is: "Server.Status"},

	"trimtab_str_of":   {not: "Go strings know their length"},
	"trimtab_bytes_of": {not: "Go slices know their length"},
}

var constants = map[string]constant{
	"TRIMTAB_OK":                 {not: "a nil error"},
	"TRIMTAB_E_NULL":             {is: int64(CodeNull)},
	"TRIMTAB_E_INVALID_ARGUMENT": {is: int64(CodeInvalidArgument)},
	"TRIMTAB_E_EXISTS":           {is: int64(CodeExists)},
	"TRIMTAB_E_NOT_FOUND":        {is: int64(CodeNotFound)},
	"TRIMTAB_E_CAPACITY":         {is: int64(CodeCapacity)},
	"TRIMTAB_E_NO_BACKEND":       {is: int64(CodeNoBackend)},
	"TRIMTAB_E_STALE_PICK":       {is: int64(CodeStalePick)},
	"TRIMTAB_E_UTF8":             {is: int64(CodeUTF8)},
	"TRIMTAB_E_STRUCT_SIZE":      {is: int64(CodeStructSize)},
	"TRIMTAB_E_PANIC":            {is: int64(CodePanic)},
	"TRIMTAB_E_CLOSED":           {is: int64(CodeClosed)},
	"TRIMTAB_E_TIMED_OUT":        {is: int64(CodeTimedOut)},
	"TRIMTAB_E_IO":               {is: int64(CodeIO)},
	"TRIMTAB_E_CONFIG":           {is: int64(CodeConfig)},
	"TRIMTAB_E_STATE":            {is: int64(CodeState)},
	"TRIMTAB_E_FORKED":           {is: int64(CodeForked)},
	"TRIMTAB_E_UNSUPPORTED":      {is: int64(CodeUnsupported)},
	"TRIMTAB_E_CORRUPT":          {is: int64(CodeCorrupt)},
	"TRIMTAB_E_NOT_PRIMARY":      {is: int64(CodeNotPrimary)},
	"TRIMTAB_E_NO_QUORUM":        {is: int64(CodeNoQuorum)},
	"TRIMTAB_E_SUPERSEDED":       {is: int64(CodeSuperseded)},
	"TRIMTAB_E_UNKNOWN_OUTCOME":  {is: int64(CodeUnknownOutcome)},

	"TRIMTAB_POLICY_ROUND_ROBIN":       {is: int64(RoundRobin)},
	"TRIMTAB_POLICY_STATIC":            {is: int64(Static)},
	"TRIMTAB_POLICY_FIRST":             {is: int64(First)},
	"TRIMTAB_POLICY_RANDOM":            {is: int64(Random)},
	"TRIMTAB_POLICY_LEAST_CONNECTIONS": {is: int64(LeastConnections)},
	"TRIMTAB_POLICY_POWER_OF_TWO":      {is: int64(PowerOfTwo)},
	"TRIMTAB_POLICY_PEAK_EWMA":         {is: int64(PeakEWMA)},
	"TRIMTAB_POLICY_FASTEST":           {is: int64(Fastest)},
	"TRIMTAB_POLICY_OBSERVED":          {is: int64(Observed)},
	"TRIMTAB_POLICY_PREDICTIVE":        {is: int64(Predictive)},
	"TRIMTAB_POLICY_SOURCE":            {is: int64(Source)},
	"TRIMTAB_POLICY_HASH":              {is: int64(Hash)},

	"TRIMTAB_HASH_RING":       {is: int64(HashRing)},
	"TRIMTAB_HASH_MAGLEV":     {is: int64(HashMaglev)},
	"TRIMTAB_HASH_RENDEZVOUS": {is: int64(HashRendezvous)},
	"TRIMTAB_BACKUPS_ONE":     {is: int64(BackupsOne)},
	"TRIMTAB_BACKUPS_ALL":     {is: int64(BackupsAll)},
	"TRIMTAB_FORMULA_TRIMTAB": {is: int64(FormulaTrimtab)},
	// F5's article, by its number.
	"TRIMTAB_FORMULA_F5_K6406": {is: int64(FormulaF5K6406)},

	"TRIMTAB_BACKUPS_SPILL":       {is: int64(BackupsSpill)},
	"TRIMTAB_SCOPE_BACKEND":       {is: int64(ScopeBackend)},
	"TRIMTAB_SCOPE_POOL":          {is: int64(ScopePool)},
	"TRIMTAB_CONNECTION_RATE_MAX": {is: ConnectionRateMax},
	"TRIMTAB_RETRIES_MAX":         {is: RetriesMax},
	"TRIMTAB_EVENT_PANIC_BEGAN":   {is: int64(EventPanicBegan)},
	"TRIMTAB_EVENT_PANIC_ENDED":   {is: int64(EventPanicEnded)},
	"TRIMTAB_EVENT_ROOM":          {is: int64(EventRoom)},
	"TRIMTAB_STEP_WAIT":           {is: int64(StepWait)},
	"TRIMTAB_STEP_CONNECT":        {is: int64(StepConnect)},
	"TRIMTAB_STEP_WRITE":          {is: int64(StepWrite)},
	"TRIMTAB_STEP_CLOSE":          {is: int64(StepClose)},
	"TRIMTAB_STEP_CHANGE":         {is: int64(StepChange)},
	"TRIMTAB_STEP_LEARN":          {is: int64(StepLearn)},
	"TRIMTAB_ROLE_UNKNOWN":        {is: int64(RoleUnknown)},
	"TRIMTAB_ROLE_PRIMARY":        {is: int64(RolePrimary)},
	"TRIMTAB_ROLE_REPLICA":        {is: int64(RoleReplica)},

	"TRIMTAB_ADMIN_READY":            {is: int64(AdminReady)},
	"TRIMTAB_ADMIN_DRAIN":            {is: int64(AdminDrain)},
	"TRIMTAB_ADMIN_MAINTENANCE":      {is: int64(AdminMaintenance)},
	"TRIMTAB_OBSERVED_UNKNOWN":       {is: int64(ObservedUnknown)},
	"TRIMTAB_OBSERVED_UP":            {is: int64(ObservedUp)},
	"TRIMTAB_OBSERVED_DOWN":          {is: int64(ObservedDown)},
	"TRIMTAB_OBSERVED_EJECTED":       {is: int64(ObservedEjected)},
	"TRIMTAB_OUTCOME_SUCCESS":        {is: int64(Success)},
	"TRIMTAB_OUTCOME_CONNECT_FAILED": {is: int64(ConnectFailed)},
	"TRIMTAB_OUTCOME_FAILED":         {is: int64(Failed)},
	"TRIMTAB_OUTCOME_TIMED_OUT":      {is: int64(TimedOut)},
	"TRIMTAB_OUTCOME_CANCELLED":      {is: int64(Cancelled)},

	"TRIMTAB_SERVER_NEW":                  {is: int64(ServerNew)},
	"TRIMTAB_SERVER_RUNNING":              {is: int64(ServerRunning)},
	"TRIMTAB_SERVER_DRAINING":             {is: int64(ServerDraining)},
	"TRIMTAB_SERVER_STOPPED":              {is: int64(ServerStopped)},
	"TRIMTAB_EVENT_STARTED":               {is: int64(EventStarted)},
	"TRIMTAB_EVENT_DRAINING":              {is: int64(EventDraining)},
	"TRIMTAB_EVENT_STOPPED":               {is: int64(EventStopped)},
	"TRIMTAB_EVENT_ACCEPT_PAUSED":         {is: int64(EventAcceptPaused)},
	"TRIMTAB_EVENT_ACCEPT_RESUMED":        {is: int64(EventAcceptResumed)},
	"TRIMTAB_EVENT_WORKER_FAILED":         {is: int64(EventWorkerFailed)},
	"TRIMTAB_EVENT_BACKEND_ADDED":         {is: int64(EventBackendAdded)},
	"TRIMTAB_EVENT_BACKEND_REMOVED":       {is: int64(EventBackendRemoved)},
	"TRIMTAB_EVENT_BACKEND_ADMIN":         {is: int64(EventBackendAdmin)},
	"TRIMTAB_EVENT_BACKEND_OBSERVED":      {is: int64(EventBackendObserved)},
	"TRIMTAB_EVENT_BACKEND_WEIGHT":        {is: int64(EventBackendWeight)},
	"TRIMTAB_EVENT_BACKEND_MAXCONN":       {is: int64(EventBackendMaxconn)},
	"TRIMTAB_EVENT_BACKEND_TIER":          {is: int64(EventBackendTier)},
	"TRIMTAB_EVENT_DISCOVERY_FAILED":      {is: int64(EventDiscoveryFailed)},
	"TRIMTAB_EVENT_SESSIONS_CUT":          {is: int64(EventSessionsCut)},
	"TRIMTAB_EVENT_STORE_FAILED":          {is: int64(EventStoreFailed)},
	"TRIMTAB_EVENT_STORE_FULL":            {is: int64(EventStoreFull)},
	"TRIMTAB_EVENT_STORE_RECOVERED":       {is: int64(EventStoreRecovered)},
	"TRIMTAB_EVENT_STORE_BACKUP_ENDED":    {is: int64(EventStoreBackupEnded)},
	"TRIMTAB_EVENT_STORE_BACKUP_FAILED":   {is: int64(EventStoreBackupFailed)},
	"TRIMTAB_EVENT_STORE_DAMAGED":         {is: int64(EventStoreDamaged)},
	"TRIMTAB_EVENT_STORE_MENDED":          {is: int64(EventStoreMended)},
	"TRIMTAB_EVENT_CLUSTER_ROLE":          {is: int64(EventClusterRole)},
	"TRIMTAB_EVENT_CLUSTER_PRIMARY":       {is: int64(EventClusterPrimary)},
	"TRIMTAB_EVENT_CLUSTER_MEMBERS":       {is: int64(EventClusterMembers)},
	"TRIMTAB_EVENT_CLUSTER_FENCED":        {is: int64(EventClusterFenced)},
	"TRIMTAB_EVENT_CLUSTER_FORGETFUL":     {is: int64(EventClusterForgetful)},
	"TRIMTAB_EVENT_CLUSTER_READMITTED":    {is: int64(EventClusterReadmitted)},
	"TRIMTAB_EVENT_CLUSTER_DIFFERS":       {is: int64(EventClusterDiffers)},
	"TRIMTAB_EVENT_CLUSTER_TWO_PROCESSES": {is: int64(EventClusterTwoProcesses)},
	"TRIMTAB_EVENT_CLUSTER_SLOW_DISK":     {is: int64(EventClusterSlowDisk)},
	"TRIMTAB_EVENT_CLUSTER_SOURCE":        {is: int64(EventClusterSource)},
	"TRIMTAB_EVENT_CLUSTER_INSTALLED":     {is: int64(EventClusterInstalled)},
	"TRIMTAB_EVENT_CLUSTER_LINK_UP":       {is: int64(EventClusterLinkUp)},
	"TRIMTAB_EVENT_CLUSTER_LINK_DOWN":     {is: int64(EventClusterLinkDown)},
	"TRIMTAB_EVENT_CLUSTER_REFUSED":       {is: int64(EventClusterRefused)},
	"TRIMTAB_EVENT_CLUSTER_DEGRADED":      {is: int64(EventClusterDegraded)},
	"TRIMTAB_EVENT_CLUSTER_RECOVERED":     {is: int64(EventClusterRecovered)},
	"TRIMTAB_EVENT_CLUSTER_MISSED":        {is: int64(EventClusterMissed)},
	"TRIMTAB_EVENT_STORE_OPENED":          {is: int64(EventStoreOpened)},

	"TRIMTAB_BACKENDS_MAX": {is: BackendsMax},
	"TRIMTAB_WEIGHT_MAX":   {is: WeightMax},
	"TRIMTAB_MAXCONN_MAX":  {is: MaxconnMax},
	"TRIMTAB_KEY_MAX":      {is: KeyMax},

	"TRIMTAB_NOT_ORDERED":   {not: "a nil pointer is not ordered"},
	"TRIMTAB_NO_TIME":       {not: "a zero Duration is not measured; NextDeadline tells in a bool"},
	"TRIMTAB_FAMILY_UNIX":   {not: "Pick.Network tells"},
	"TRIMTAB_FAMILY_INET":   {not: "the netip.AddrPort tells"},
	"TRIMTAB_FAMILY_INET6":  {not: "the netip.AddrPort tells"},
	"TRIMTAB_VERSION_MAJOR": {not: "Version tells that of the library linked in"},
	"TRIMTAB_VERSION_MINOR": {not: "Version tells that of the library linked in"},
	"TRIMTAB_VERSION_PATCH": {not: "Version tells that of the library linked in"},
}

// counterpart is the name in Go, or why there is none.
type counterpart struct{ is, not string }

// constant is the value in Go, or why there is none.
type constant struct {
	is  int64
	not string
}

func TestEveryFunctionHasACounterpart(t *testing.T) {
	declared := find(t, `(?m)^[a-z][\w ]*?[ *](trimtab_\w+)\(`)
	if len(declared) < 50 {
		t.Fatalf("found only %d functions in %s", len(declared), header)
	}
	foreign := foreignText(t)
	exported := exportedNames(t)
	for _, match := range declared {
		name := match[1]
		counterpart, known := functions[name]
		switch {
		case !known:
			t.Errorf("%s is new in C: add it here, and to the package", name)
		case counterpart.not != "":
		case !exported[counterpart.is]:
			t.Errorf("%s is said to be %s, which the package does not have", name, counterpart.is)
		case !regexp.MustCompile(`\b` + name + `\b`).MatchString(foreign):
			t.Errorf("%s is said to be %s, but no c.go, c.h, c_*.go or c_*.h uses it", name, counterpart.is)
		}
	}
	gone(t, functions, declared)
}

func TestEveryConstantHasACounterpart(t *testing.T) {
	declared := find(t, `(?m)^#define (TRIMTAB_[A-Z0-9_]+) \(?(-?\w+)\)?$`)
	if len(declared) < 50 {
		t.Fatalf("found only %d constants in %s", len(declared), header)
	}
	for _, match := range declared {
		name := match[1]
		constant, known := constants[name]
		if !known {
			t.Errorf("%s is new in C: add it here, and to the package", name)
		}
		if !known || constant.not != "" {
			continue
		}
		if value, err := strconv.ParseInt(match[2], 0, 64); err != nil || value != constant.is {
			t.Errorf("%s is %s in C and %d in Go (%v)", name, match[2], constant.is, err)
		}
	}
	gone(t, constants, declared)
}

func TestTheVersionIsTheHeaders(t *testing.T) {
	var parts []string
	for _, match := range find(t, `(?m)^#define TRIMTAB_VERSION_\w+ (\d+)$`) {
		parts = append(parts, match[1])
	}
	if want := strings.Join(parts, "."); Version() != want {
		t.Errorf("the library says %s, the header %s", Version(), want)
	}
}

// Only c.go and c_*.go may touch C.
func TestForeignDeclarationsStandApart(t *testing.T) {
	for _, file := range glob(t, "*.go") {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imported := range parsed.Imports {
			if imported.Path.Value == `"C"` && file != "c.go" && !strings.HasPrefix(file, "c_") {
				t.Errorf("%s imports C", file)
			}
		}
	}
}

// foreignText is what the package has in C and calls of it.
func foreignText(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range []string{"c.go", "c.h", "c_*.go", "c_*.h"} {
		files := glob(t, pattern)
		if len(files) == 0 {
			t.Fatalf("there is no %s", pattern)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(text)
		}
	}
	return all.String()
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func find(t *testing.T, pattern string) [][]string {
	t.Helper()
	text, err := os.ReadFile(header)
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1)
}

func gone[V any](t *testing.T, listed map[string]V, declared [][]string) {
	t.Helper()
	there := map[string]bool{}
	for _, match := range declared {
		there[match[1]] = true
	}
	for name := range listed {
		if !there[name] {
			t.Errorf("%s is not in %s any more", name, header)
		}
	}
}

// exportedNames is "Name" of every exported declaration, and "Type.Name" of methods and fields.
func exportedNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, file := range glob(t, "*.go") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range parsed.Decls {
			switch declaration := declaration.(type) {
			case *ast.FuncDecl:
				names[receiver(declaration)+declaration.Name.Name] = true
			case *ast.GenDecl:
				for _, spec := range declaration.Specs {
					addType(names, spec)
				}
			}
		}
	}
	return names
}

func receiver(function *ast.FuncDecl) string {
	if function.Recv == nil {
		return ""
	}
	of := function.Recv.List[0].Type
	if pointer, ok := of.(*ast.StarExpr); ok {
		of = pointer.X
	}
	if name, ok := of.(*ast.Ident); ok {
		return name.Name + "."
	}
	return ""
}

func addType(names map[string]bool, spec ast.Spec) {
	declared, ok := spec.(*ast.TypeSpec)
	if !ok {
		return
	}
	names[declared.Name.Name] = true
	if structure, ok := declared.Type.(*ast.StructType); ok {
		for _, field := range structure.Fields.List {
			for _, name := range field.Names {
				names[declared.Name.Name+"."+name.Name] = true
			}
		}
	}
}

package trimtab

// Where the store's part of the C interface is found, see header_test.go.

func init() {
	for name, counterpart := range storeFunctions {
		functions[name] = counterpart
	}
	for name, constant := range storeConstants {
		constants[name] = constant
	}
}

const submits = "it holds a thread; the method of Store submits the operation"

var storeFunctions = map[string]counterpart{
	"trimtab_store_options_new":                        {is: "StoreOptions"},
	"trimtab_store_options_set_hosted":                 {is: "StoreOptions.Hosted"},
	"trimtab_store_poll_fd":                            {is: "Store.PollFD"},
	"trimtab_store_next_deadline":                      {is: "Store.NextDeadline"},
	"trimtab_store_next_timeout":                       {not: "NextDeadline and Now tell"},
	"trimtab_store_turn":                               {is: "Store.Turn"},
	"trimtab_server_store":                             {is: "Server.Store"},
	"trimtab_store_options_free":                       {is: "StoreOptions"},
	"trimtab_store_options_set_identity":               {is: "StoreOptions.Identity"},
	"trimtab_store_options_set_history_bytes_max":      {is: "StoreOptions.HistoryBytesMax"},
	"trimtab_store_options_set_durability":             {is: "StoreOptions.Durability"},
	"trimtab_store_options_set_timeout_ms":             {is: "StoreOptions.Timeout"},
	"trimtab_store_options_set_waiting_max":            {is: "StoreOptions.WaitingMax"},
	"trimtab_store_options_set_flush_interval_ms":      {is: "StoreOptions.FlushInterval"},
	"trimtab_store_options_set_flush_bytes":            {is: "StoreOptions.FlushBytes"},
	"trimtab_store_options_set_snapshot_bytes":         {is: "StoreOptions.SnapshotBytes"},
	"trimtab_store_options_set_snapshot_retry_ms":      {is: "StoreOptions.SnapshotRetry"},
	"trimtab_store_options_set_eviction":               {is: "StoreOptions.Eviction"},
	"trimtab_store_options_set_eviction_places":        {is: "StoreOptions.EvictionPlaces"},
	"trimtab_store_options_set_memory_max":             {is: "StoreOptions.MemoryMax"},
	"trimtab_store_options_set_operations_max":         {is: "StoreOptions.OperationsMax"},
	"trimtab_store_options_set_clients_max":            {is: "StoreOptions.ClientsMax"},
	"trimtab_store_options_set_client_bytes_max":       {is: "StoreOptions.ClientBytesMax"},
	"trimtab_store_options_set_segment_bytes":          {is: "StoreOptions.SegmentBytes"},
	"trimtab_store_options_set_value_max":              {is: "StoreOptions.ValueMax"},
	"trimtab_store_options_set_disk_bytes_max":         {is: "StoreOptions.DiskBytesMax"},
	"trimtab_store_options_set_kept_bytes":             {is: "StoreOptions.KeptBytes"},
	"trimtab_store_options_set_pending_bytes_max":      {is: "StoreOptions.PendingBytesMax"},
	"trimtab_store_options_set_disk_retry_ms":          {is: "StoreOptions.DiskRetry"},
	"trimtab_store_options_set_scrub_interval_ms":      {is: "StoreOptions.ScrubInterval"},
	"trimtab_store_options_set_scrub_bytes_per_second": {is: "StoreOptions.ScrubBytesPerSecond"},

	"trimtab_store_backup":        {is: "Store.Backup"},
	"trimtab_store_backup_closed": {is: "BackupClosed"},
	"trimtab_store_backup_verify": {is: "VerifyBackup"},
	"trimtab_store_restore":       {is: "Restore"},
	"trimtab_store_scrub":         {is: "Store.Scrub"},
	"trimtab_store_damage_copy":   {is: "StoreStatus.ScrubFailure"},

	"trimtab_store_open":     {is: "OpenStore"},
	"trimtab_store_close":    {is: "Store.Close"},
	"trimtab_store_free":     {is: "Store.Close"},
	"trimtab_store_get_copy": {is: "Store.GetAppend"},
	"trimtab_store_get":      {is: "Store.GetEntry"},
	"trimtab_store_count":    {is: "Store.Count"},
	"trimtab_store_sync":     {is: "Store.Sync"},
	"trimtab_store_snapshot": {is: "Store.Snapshot"},

	"trimtab_store_wait_durable":         {not: submits},
	"trimtab_store_queue_submit_durable": {is: "Store.WaitDurable"},
	"trimtab_store_queue_cancel":         {is: "Store.WaitDurable"},

	"trimtab_store_status_read": {is: "Store.Status"},
	"trimtab_store_lease_read":  {is: "Store.Lease"},

	"trimtab_store_lease_read_at": {is: "Store.Lease"},

	"trimtab_store_report_read":           {is: "Store.Report"},
	"trimtab_store_torn_file_copy":        {is: "TornTail.File"},
	"trimtab_store_covered_file_copy":     {is: "CoveredDamage.File"},
	"trimtab_store_settings_refused_copy": {is: "StoreReport.SettingsRefused"},

	"trimtab_store_put":              {not: submits},
	"trimtab_store_compare_and_set":  {not: submits},
	"trimtab_store_get_and_set":      {not: submits},
	"trimtab_store_delete":           {not: submits},
	"trimtab_store_delete_range":     {not: submits},
	"trimtab_store_increment":        {not: submits},
	"trimtab_store_append":           {not: submits},
	"trimtab_store_expire":           {not: submits},
	"trimtab_store_expire_at":        {not: submits},
	"trimtab_store_persist":          {not: submits},
	"trimtab_store_lease_grant":      {not: submits},
	"trimtab_store_lease_keep_alive": {not: submits},
	"trimtab_store_lease_revoke":     {not: submits},
	"trimtab_store_execute":          {not: submits},
	"trimtab_store_commit":           {not: submits},

	"trimtab_store_answer_free":       {is: "Answer"},
	"trimtab_store_answer_read":       {is: "Result"},
	"trimtab_store_answer_entry":      {is: "Result.Entries"},
	"trimtab_store_answer_step_read":  {is: "TxnResult.Steps"},
	"trimtab_store_answer_step_entry": {is: "TxnResult.Steps"},

	"trimtab_store_scan_new":      {is: "Store.Scan"},
	"trimtab_store_scan_free":     {is: "Scan.Close"},
	"trimtab_store_scan_next":     {is: "Scan.Next"},
	"trimtab_store_scan_sequence": {is: "Scan.Sequence"},

	"trimtab_txn_new":           {is: "Txn"},
	"trimtab_txn_free":          {is: "Txn"},
	"trimtab_txn_compare":       {is: "CompareVersion"},
	"trimtab_txn_compare_value": {is: "CompareValue"},
	"trimtab_txn_then":          {is: "Txn.Then"},
	"trimtab_txn_otherwise":     {is: "Txn.Else"},
	"trimtab_txn_set_continue":  {is: "Txn.Continue"},

	"trimtab_store_outcome": {is: "Store.Outcome"},

	"trimtab_store_queue_new":        {is: "StoreOptions.QueueMax"},
	"trimtab_store_queue_free":       {is: "Store.Close"},
	"trimtab_store_queue_poll_fd":    {is: "Store.Execute"},
	"trimtab_store_queue_submit":     {is: "Store.Batch"},
	"trimtab_store_queue_submit_txn": {is: "Store.Commit"},
	"trimtab_store_queue_next":       {is: "Store.Execute"},
	"trimtab_store_queue_under_way":  {not: "each call waits for its own answer"},

	"trimtab_store_watch_new":      {is: "Store.Watch"},
	"trimtab_store_watch_free":     {is: "Watch.Close"},
	"trimtab_store_watch_poll_fd":  {is: "Watch.Next"},
	"trimtab_store_watch_next":     {is: "Watch.Next"},
	"trimtab_store_watch_sequence": {is: "Watch.Sequence"},
}

var storeConstants = map[string]constant{
	"TRIMTAB_DURABILITY_DEFAULT": {is: int64(DurabilityDefault)},
	"TRIMTAB_DURABILITY_MEMORY":  {is: int64(DurabilityMemory)},
	"TRIMTAB_DURABILITY_LOCAL":   {is: int64(DurabilityLocal)},
	"TRIMTAB_DURABILITY_QUORUM":  {is: int64(DurabilityQuorum)},
	"TRIMTAB_DURABILITY_ALL":     {is: int64(DurabilityAll)},

	"TRIMTAB_REQUEST_APPLIED":     {is: int64(RequestApplied)},
	"TRIMTAB_REQUEST_NOT_APPLIED": {is: int64(RequestNotApplied)},
	"TRIMTAB_REQUEST_FORGOTTEN":   {is: int64(RequestForgotten)},

	"TRIMTAB_EVICTION_REFUSE": {is: int64(EvictionRefuse)},
	"TRIMTAB_EVICTION_LRU":    {is: int64(EvictionLRU)},
	"TRIMTAB_EVICTION_TTL":    {is: int64(EvictionTTL)},

	"TRIMTAB_OPERATION_PUT":              {is: int64(kindPut)},
	"TRIMTAB_OPERATION_DELETE":           {is: int64(kindDelete)},
	"TRIMTAB_OPERATION_INCREMENT":        {is: int64(kindIncrement)},
	"TRIMTAB_OPERATION_APPEND":           {is: int64(kindAppend)},
	"TRIMTAB_OPERATION_SET_LIFETIME":     {is: int64(kindSetLifetime)},
	"TRIMTAB_OPERATION_DELETE_RANGE":     {is: int64(kindDeleteRange)},
	"TRIMTAB_OPERATION_GET":              {is: int64(kindGet)},
	"TRIMTAB_OPERATION_RANGE":            {is: int64(kindRange)},
	"TRIMTAB_OPERATION_LEASE_GRANT":      {is: int64(kindLeaseGrant)},
	"TRIMTAB_OPERATION_LEASE_KEEP_ALIVE": {is: int64(kindLeaseKeepAlive)},
	"TRIMTAB_OPERATION_LEASE_REVOKE":     {is: int64(kindLeaseRevoke)},

	"TRIMTAB_CONDITION_ALWAYS":      {is: int64(operationOptions{}.condition)},
	"TRIMTAB_CONDITION_ABSENT":      {is: conditionAbsent},
	"TRIMTAB_CONDITION_PRESENT":     {is: conditionPresent},
	"TRIMTAB_CONDITION_VERSION":     {is: conditionVersion},
	"TRIMTAB_CONDITION_NO_DEADLINE": {is: conditionNoDeadline},
	"TRIMTAB_CONDITION_DEADLINE":    {is: conditionDeadline},
	"TRIMTAB_CONDITION_LATER":       {is: conditionLater},
	"TRIMTAB_CONDITION_EARLIER":     {is: conditionEarlier},

	"TRIMTAB_LIFETIME_UNBOUNDED": {is: lifetimeUnbounded},
	"TRIMTAB_LIFETIME_KEEP":      {is: lifetimeKeep},
	"TRIMTAB_LIFETIME_UNTIL":     {is: lifetimeUntil},
	"TRIMTAB_LIFETIME_FOR":       {is: lifetimeFor},
	"TRIMTAB_LIFETIME_LEASE":     {is: lifetimeLease},

	"TRIMTAB_RANGE_BETWEEN": {is: rangeBetween},
	"TRIMTAB_RANGE_PREFIX":  {is: rangePrefix},

	"TRIMTAB_RESTORE_END":      {is: restoreEnd},
	"TRIMTAB_RESTORE_SEQUENCE": {is: restoreSequence},
	"TRIMTAB_RESTORE_TIME":     {is: restoreTime},

	"TRIMTAB_COMPARE_VERSION": {is: compareVersion},
	"TRIMTAB_COMPARE_CREATED": {is: compareCreated},
	"TRIMTAB_COMPARE_CHANGES": {is: compareChanges},
	"TRIMTAB_COMPARE_LEASE":   {is: compareLease},

	"TRIMTAB_RELATION_EQUAL":     {is: int64(RelationEqual)},
	"TRIMTAB_RELATION_NOT_EQUAL": {is: int64(RelationNotEqual)},
	"TRIMTAB_RELATION_LESS":      {is: int64(RelationLess)},
	"TRIMTAB_RELATION_GREATER":   {is: int64(RelationGreater)},

	"TRIMTAB_CHANGE_COMPACTED":    {is: int64(changeCompacted)},
	"TRIMTAB_CHANGE_PUT":          {is: int64(ChangePut)},
	"TRIMTAB_CHANGE_INCREMENTED":  {is: int64(ChangeIncremented)},
	"TRIMTAB_CHANGE_APPENDED":     {is: int64(ChangeAppended)},
	"TRIMTAB_CHANGE_LIFETIME_SET": {is: int64(ChangeLifetimeSet)},
	"TRIMTAB_CHANGE_DELETED":      {is: int64(ChangeDeleted)},
	"TRIMTAB_CHANGE_EXPIRED":      {is: int64(ChangeExpired)},
	"TRIMTAB_CHANGE_EVICTED":      {is: int64(ChangeEvicted)},
	"TRIMTAB_CHANGE_REVOKED":      {is: int64(ChangeRevoked)},
}

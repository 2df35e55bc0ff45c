//! The structs of the header are laid out in C as in Rust. A program with every struct and field that the
//! header has is compiled and asked; whatever either side moves, adds or forgets makes this fail.
// The header has what a build with all of them has.
#![cfg(all(feature = "capi", feature = "proxy", feature = "store", feature = "replication"))]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use trimtab::capi::{
    trimtab_adaptive, trimtab_backend_statistics, trimtab_bytes, trimtab_check_status, trimtab_check_step,
    trimtab_cluster_event, trimtab_cluster_node, trimtab_cluster_status, trimtab_event,
    trimtab_listener_statistics, trimtab_outlier, trimtab_pick, trimtab_pool_event, trimtab_pool_statistics,
    trimtab_promoted, trimtab_server_statistics, trimtab_store_backup_report, trimtab_store_call,
    trimtab_store_change, trimtab_store_entry, trimtab_store_operation, trimtab_store_read,
    trimtab_store_report, trimtab_store_restore_options, trimtab_store_restored, trimtab_store_result,
    trimtab_store_status, trimtab_str, trimtab_timings,
};

/// What is measured, with its number: `trimtab_pick.token` is an offset, `trimtab_pick` size and alignment.
type Layout = BTreeMap<String, String>;

/// The layout of one struct as Rust has it.
macro_rules! layout {
    ($layout:ident, $name:ident { $($field:ident),+ $(,)? }) => {
        $layout.insert(
            stringify!($name).to_string(),
            format!("{} {}", size_of::<$name>(), align_of::<$name>()),
        );
        $($layout.insert(
            concat!(stringify!($name), ".", stringify!($field)).to_string(),
            std::mem::offset_of!($name, $field).to_string(),
        );)+
    };
}

fn in_rust() -> Layout {
    let mut layout = Layout::new();
    layout!(layout, trimtab_str { data, len });
    layout!(layout, trimtab_bytes { data, len });
    layout!(layout, trimtab_pick { struct_size, family, backend, tag, token, ip, scope_id, port, reserved });
    layout!(layout, trimtab_timings { struct_size, reserved, connect_ns, first_byte_ns, total_ns });
    layout!(
        layout,
        trimtab_pool_statistics {
            struct_size,
            backends,
            serving,
            reserved,
            picks,
            in_flight,
            refused,
            limit,
            panic,
            pending,
            retries,
            ejected,
            retries_refused,
            ejections,
        }
    );
    layout!(
        layout,
        trimtab_backend_statistics {
            struct_size,
            weight,
            maxconn,
            tier,
            admin,
            observed,
            serving,
            reserved,
            id,
            tag,
            picks,
            in_flight,
            success,
            connect_failed,
            failed,
            timed_out,
            cancelled,
            response_mean_ns,
            share,
            limit,
            consecutive_errors,
            connection_rate,
            connection_burst,
            observed_since_ns,
            slow_start,
        }
    );
    layout!(
        layout,
        trimtab_outlier {
            struct_size,
            consecutive_errors,
            interval_ms,
            ejection_time_ms,
            ejection_time_max_ms,
            ejection_jitter_ms,
            ejection_percent_max,
            success_rate,
            success_rate_factor,
            success_rate_hosts_min,
            success_rate_requests_min,
            failure_percent,
            failure_hosts_min,
            failure_requests_min,
            reserved,
        }
    );
    layout!(
        layout,
        trimtab_adaptive {
            struct_size,
            scope,
            min,
            max,
            window_ms,
            percentile,
            rtt_interval_ms,
            rtt_jitter,
            rtt_buffer,
            rtt_requests,
            rtt_pins,
        }
    );
    layout!(layout, trimtab_check_step { struct_size, kind, deadline_ns, data, len });
    layout!(
        layout,
        trimtab_check_status {
            struct_size,
            observed,
            since_ns,
            good_in_a_row,
            bad_in_a_row,
            probes,
            failed,
            role,
            reserved,
            lag_ns,
            lag_bytes,
            ordered_admin,
            ordered_weight_percent,
            ordered_maxconn,
        }
    );
    layout!(
        layout,
        trimtab_pool_event {
            struct_size,
            kind,
            number,
            reserved,
            backend,
            name,
            name_len,
            reason,
            reason_len,
        }
    );
    layout!(
        layout,
        trimtab_event {
            struct_size,
            kind,
            number,
            reserved,
            name,
            name_len,
            listener,
            listener_len,
            pool,
            pool_len,
            backend,
            backend_len,
            value,
            value_len,
            detail,
            detail_len,
            node,
            node_len,
        }
    );
    layout!(
        layout,
        trimtab_server_statistics {
            struct_size,
            reserved,
            sessions,
            waiting,
            accepted,
            finished,
            failed,
            retries,
            bytes_to_backends,
            bytes_to_clients,
        }
    );
    layout!(
        layout,
        trimtab_listener_statistics {
            struct_size,
            maxconn,
            sessions,
            accepted,
            accept_errors,
            retries,
            queued,
            bytes_to_backends,
            bytes_to_clients,
            closed_finished,
            closed_client_reset,
            closed_backend_reset,
            closed_client_left,
            closed_header_invalid,
            closed_header_timeout,
            closed_no_backend,
            closed_connect_failed,
            closed_queue_full,
            closed_queue_timeout,
            closed_idle_timeout,
            closed_half_closed_timeout,
            closed_stopped,
            closed_no_descriptor,
            closed_retry_refused,
            closed_pending_full,
            closed_backend_down,
        }
    );
    layout!(
        layout,
        trimtab_store_status {
            struct_size,
            failure,
            problem,
            snapshot_failure,
            sequence,
            durable,
            applied,
            snapshot,
            keys,
            memory_bytes,
            disk_bytes,
            pending_bytes,
            scrub_passes,
            scrub_bytes,
            scrub_finished_ms,
            scrub_damages,
            scrub_failure,
            reserved,
            scrub_mended,
            submitted,
            joined,
            refused,
            entries_applied,
            flushes,
            flushed_bytes,
            clock_steps,
            expiries,
            evictions,
            snapshots_written,
            snapshots_failed,
        }
    );
    layout!(
        layout,
        trimtab_store_report {
            struct_size,
            is_closed,
            is_torn,
            settings_refused,
            segments,
            records,
            bytes,
            first,
            last,
            snapshot,
            torn_offset,
            torn_bytes,
            replayed,
            ahead_ms,
            covered_segments,
            covered_offset,
        }
    );
    layout!(
        layout,
        trimtab_store_backup_report {
            struct_size,
            stretches,
            first_sequence,
            last_sequence,
            first_ms,
            last_ms,
            total_bytes,
            bytes,
            entries,
            snapshot
        }
    );
    layout!(layout, trimtab_store_restore_options { struct_size, point, at, same_identity, reserved });
    layout!(
        layout,
        trimtab_store_restored {
            struct_size,
            reserved,
            sequence,
            clock_ms,
            snapshot,
            entries,
            node,
            cluster
        }
    );
    layout!(
        layout,
        trimtab_store_call { struct_size, durability, timeout_ms, number, client, nodes, reserved }
    );
    layout!(
        layout,
        trimtab_store_result {
            struct_size,
            durability,
            sequence,
            version,
            number,
            count,
            deadline_ms,
            entries,
            is_done,
            is_repeated,
            more,
            reserved,
            nodes,
            is_degraded,
            epoch,
            entry
        }
    );
    layout!(layout, trimtab_store_read { struct_size, level, age_max_ms, epoch, entry, timeout_ms });
    layout!(
        layout,
        trimtab_cluster_status {
            struct_size,
            role,
            standing,
            nodes,
            cluster,
            cluster_len,
            node,
            node_len,
            primary,
            primary_len,
            primary_address,
            primary_address_len,
            trouble,
            trouble_len,
            epoch,
            generation,
            last,
            committed,
            applied,
            durable,
            age_ns,
            lease_ns,
            held,
            forwarded,
            refused_frames,
            unsent_frames,
            refused_peers,
            degraded_writes,
            is_degraded,
            reserved,
            last_refusal,
            last_refusal_len
        }
    );
    layout!(
        layout,
        trimtab_cluster_node {
            struct_size,
            is_voter,
            is_primary,
            is_linked,
            name,
            name_len,
            address,
            address_len,
            client_address,
            client_address_len,
            number,
            matched,
            lag,
            source,
            source_len,
            trouble,
            trouble_len
        }
    );
    layout!(
        layout,
        trimtab_promoted {
            struct_size,
            reserved,
            generation,
            last,
            cluster,
            cluster_len,
            node,
            node_len,
            out,
            out_len,
            learners,
            learners_len,
        }
    );
    layout!(
        layout,
        trimtab_cluster_event {
            struct_size,
            kind,
            role,
            reserved,
            epoch,
            number,
            name,
            name_len,
            detail,
            detail_len
        }
    );
    layout!(
        layout,
        trimtab_store_entry {
            struct_size,
            reserved,
            key,
            key_len,
            value,
            value_len,
            version,
            created,
            changes,
            deadline_ms,
            lease
        }
    );
    layout!(
        layout,
        trimtab_store_operation {
            struct_size,
            kind,
            key,
            key_len,
            value,
            value_len,
            range,
            condition,
            version,
            lifetime,
            previous,
            deadline_ms,
            ttl_ms,
            lease,
            by,
            limit,
            reverse,
            reserved,
            user_data
        }
    );
    layout!(
        layout,
        trimtab_store_change {
            struct_size,
            kind,
            sequence,
            created,
            key,
            key_len,
            value,
            value_len,
            more,
            reserved
        }
    );
    layout
}

#[test]
fn c_and_rust_agree() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let header = fs::read_to_string(root.join("include/trimtab.h")).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let source = folder.join("layout.c");
    let program = folder.join("layout");
    fs::write(&source, c_program(&header)).unwrap();
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_string());
    let compiled = Command::new(&compiler)
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(root.join("include"))
        .arg(&source)
        .arg("-o")
        .arg(&program)
        .output()
        .unwrap_or_else(|error| panic!("a C compiler is needed, and {compiler} does not start: {error}"));
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let output = Command::new(&program).output().unwrap();
    assert!(output.status.success());
    let in_c: Layout = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| line.split_once(": ").unwrap())
        .map(|(what, number)| (what.to_string(), number.to_string()))
        .collect();
    assert_eq!(in_c, in_rust());
}

/// Prints size and alignment of every struct that `header` defines, and the offset of every field.
fn c_program(header: &str) -> String {
    let mut program =
        "#include <stdalign.h>\n#include <stdio.h>\n#include \"trimtab.h\"\n\nint main(void)\n{\n"
            .to_string();
    let mut inside = None;
    for line in header.lines() {
        if let Some(name) = line.strip_prefix("typedef struct ").and_then(|rest| rest.strip_suffix(" {")) {
            program += &format!("    printf(\"{name}: %zu %zu\\n\", sizeof({name}), alignof({name}));\n");
            inside = Some(name);
        } else if line.starts_with('}') {
            inside = None;
        } else if let (Some(name), Some(declaration)) = (inside, line.trim().strip_suffix(';')) {
            let field = declaration.rsplit([' ', '*']).next().unwrap().split('[').next().unwrap();
            program += &format!("    printf(\"{name}.{field}: %zu\\n\", offsetof({name}, {field}));\n");
        }
    }
    program + "    return 0;\n}\n"
}

#[test]
fn the_first_release_is_where_it_was() {
    // Fields come at the end only; what a program built against 0.1 reads stays in its place.
    let layout = in_rust();
    for (what, number) in [
        ("trimtab_str.len", "8"),
        ("trimtab_bytes.len", "8"),
        ("trimtab_pick.token", "24"),
        ("trimtab_pick.reserved", "54"),
        ("trimtab_timings.total_ns", "24"),
        ("trimtab_pool_statistics.refused", "32"),
        ("trimtab_backend_statistics.share", "112"),
        ("trimtab_outlier.reserved", "76"),
        ("trimtab_adaptive.rtt_pins", "60"),
        ("trimtab_pool_event.reason_len", "48"),
        ("trimtab_check_step.len", "24"),
        ("trimtab_check_status.lag_bytes", "56"),
        ("trimtab_check_status.ordered_admin", "64"),
        ("trimtab_check_status.ordered_maxconn", "72"),
        ("trimtab_event.detail_len", "104"),
        ("trimtab_server_statistics.bytes_to_clients", "64"),
        ("trimtab_listener_statistics.closed_no_descriptor", "168"),
    ] {
        assert_eq!(layout[what], number, "{what}");
    }
}

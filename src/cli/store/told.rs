//! What a backup holds, as it is told.

use std::io::{self, Write};

use serde::Serialize;

use crate::backup::Manifest;
use crate::cli::moment::rfc3339;
use crate::store::log::Identity;

#[derive(Serialize)]
pub(super) struct SpanTold {
    first: u64,
    last: u64,
    first_ms: u64,
    last_ms: u64,
}

pub(super) fn spans(manifest: &Manifest) -> Vec<SpanTold> {
    let told = |span: crate::backup::Span| SpanTold {
        first: span.first,
        last: span.last,
        first_ms: span.first_ms,
        last_ms: span.last_ms,
    };
    manifest.spans().into_iter().map(told).collect()
}

pub(super) fn tell_spans(manifest: &Manifest, out: &mut impl Write) -> io::Result<()> {
    for span in manifest.spans() {
        writeln!(
            out,
            "holds entries {} to {}, {} to {}",
            span.first,
            span.last,
            rfc3339(span.first_ms),
            rfc3339(span.last_ms)
        )?;
    }
    Ok(())
}

pub(super) fn cluster(identity: &Identity) -> String {
    identity.cluster.iter().map(|byte| format!("{byte:02x}")).collect()
}

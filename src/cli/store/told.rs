//! What a backup holds, as it is told.

use std::io::{self, Write};

use crate::cli::moment::rfc3339;
use crate::server::BackupSpan;
use crate::store::log::Identity;

pub(super) fn tell_spans(spans: &[BackupSpan], out: &mut impl Write) -> io::Result<()> {
    for span in spans {
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

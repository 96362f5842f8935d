//! What attached adapters add to a process.

use super::adapters::Attached;
use super::report::Resident;
use super::texts::Composer;
use super::{Args, Measure, fresh};
use crate::commands::bench::report::memory_mib;
use espalier_runtime::Runtime;

/// By a process of its own: memory that others have used and given back would hide what adapters
/// take.
pub(super) fn measure() -> anyhow::Result<Option<Vec<Resident>>> {
    let rows: Option<Vec<_>> = fresh::measure(Measure::Memory)?;
    if rows.is_none() {
        note!("memory is left out: this system has no /proc/self/status to read it from");
    }
    Ok(rows)
}

/// Memory after each number of adapters has been attached and each adapter has answered; nothing
/// where the system does not tell.
pub(super) fn alone(args: &Args) -> anyhow::Result<Option<Vec<Resident>>> {
    let mut many = Attached { runtime: Runtime::new(args.backbone.open()?), names: Vec::new() };
    let text = Composer::new(&many.runtime.backbone().tokenizer)?.text(args.seq, 0)?;
    let mut counts = args.adapters.clone();
    counts.push(1);
    counts.sort_unstable();
    counts.dedup();
    let (mut rows, mut attached) = (Vec::new(), 0);
    for adapters in counts {
        many.attach(args, attached..adapters)?;
        // One after the other: rows of many adapters at once would count as theirs.
        for name in &many.names[attached..] {
            many.runtime.run(&[&text], &[name.as_str()])?;
        }
        attached = adapters;
        let Some(mib) = memory_mib("VmRSS:") else { return Ok(None) };
        let above_one_mib = mib - rows.first().map_or(mib, |one: &Resident| one.mib);
        rows.push(Resident { adapters, mib, above_one_mib });
    }
    Ok(Some(rows))
}

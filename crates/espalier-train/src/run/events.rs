//! TensorBoard's event files: scalars by step, in protocol buffers
//! (tensorflow/core/util/event.proto) encoded by hand.

use super::error::{Result, io};
use crate::tfrecord;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The end of our files' names; TensorBoard asks only that "tfevents" be in there.
const SUFFIX: &str = ".espalier";

/// An event file that grows by a record per step.
pub(super) struct Events {
    path: PathBuf,
    file: File,
}

impl Events {
    /// The event file of a run of which `steps` steps count: what an earlier start wrote beyond
    /// them is cut off.
    pub(super) fn open(directory: &Path, steps: usize) -> Result<Self> {
        let (path, kept) = match existing(directory)? {
            Some(path) => {
                let kept = length_up_to(&fs::read(&path).map_err(io(&path))?, steps as u64);
                (path, kept)
            }
            None => {
                (directory.join(format!("events.out.tfevents.{:010}{SUFFIX}", now() as u64)), 0)
            }
        };
        let file = OpenOptions::new().append(true).create(true).open(&path).map_err(io(&path))?;
        file.set_len(kept).map_err(io(&path))?;
        let mut events = Self { path, file };
        if kept == 0 {
            events.record(&message(now(), 0, 3, b"brain.Event:2"))?;
        }
        Ok(events)
    }

    /// Adds the scalars of a step, each with its tag.
    pub(super) fn scalars(&mut self, step: usize, scalars: &[(String, f64)]) -> Result<()> {
        let values = scalars.iter().map(|(tag, value)| {
            let mut fields = Vec::new();
            bytes(&mut fields, 1, tag.as_bytes());
            varint(&mut fields, 2 << 3 | 5);
            fields.extend((*value as f32).to_le_bytes());
            fields
        });
        let mut summary = Vec::new();
        values.for_each(|value| bytes(&mut summary, 1, &value));
        self.record(&message(now(), step as u64, 5, &summary))
    }

    /// Makes sure that what was written is on the disk.
    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(io(&self.path))
    }

    fn record(&mut self, payload: &[u8]) -> Result<()> {
        tfrecord::write(&mut self.file, payload).map_err(io(&self.path))
    }
}

/// Our event file in the directory, if there is one.
fn existing(directory: &Path) -> Result<Option<PathBuf>> {
    let entries = fs::read_dir(directory).map_err(io(directory))?;
    let ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.contains("tfevents") && name.ends_with(SUFFIX)
    };
    Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).filter(ours).min())
}

/// Length of the whole records before the first one that is damaged or of a later step.
fn length_up_to(file: &[u8], steps: u64) -> u64 {
    let mut rest = file;
    while let Some((payload, next)) = tfrecord::read(rest) {
        match step_of(payload) {
            Some(step) if step <= steps => rest = next,
            _ => break,
        }
    }
    (file.len() - rest.len()) as u64
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// An `Event`: wall time, step, and one more field of bytes.
fn message(time: f64, step: u64, field: u64, content: &[u8]) -> Vec<u8> {
    let mut event = Vec::new();
    varint(&mut event, 1 << 3 | 1);
    event.extend(time.to_le_bytes());
    varint(&mut event, 2 << 3);
    varint(&mut event, step);
    bytes(&mut event, field, content);
    event
}

/// The step of an `Event` that [`message`] made: the varint after the wall time.
fn step_of(event: &[u8]) -> Option<u64> {
    let (&key, step) = event.get(9..)?.split_first()?;
    let end = step.iter().position(|byte| byte & 0x80 == 0)?;
    let step =
        step.get(..=end)?.iter().rev().try_fold(0u64, |value, byte| {
            value.checked_mul(0x80)?.checked_add(u64::from(byte & 0x7f))
        });
    step.filter(|_| key == 2 << 3)
}

/// A field of bytes: a string or a message.
fn bytes(out: &mut Vec<u8>, field: u64, content: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, content.len() as u64);
    out.extend(content);
}

/// Seven bits a byte, the lowest first; the top bit says that more follow.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps of the records in the directory's event file.
    fn steps(directory: &Path) -> Vec<u64> {
        let file = fs::read(existing(directory).unwrap().unwrap()).unwrap();
        let mut rest = file.as_slice();
        let mut steps = Vec::new();
        while let Some((payload, next)) = tfrecord::read(rest) {
            steps.push(step_of(payload).unwrap());
            rest = next;
        }
        assert!(rest.is_empty(), "no rubbish at the end");
        steps
    }

    #[test]
    fn an_event_has_the_bytes_that_protocol_buffers_prescribe() {
        let mut summary = Vec::new();
        bytes(&mut summary, 1, b"\x0a\x04loss\x15\x00\x00\x00\x3f");
        let event = message(1.5, 300, 5, &summary);
        let expected =
            b"\x09\0\0\0\0\0\0\xf8\x3f\x10\xac\x02\x2a\x0d\x0a\x0b\x0a\x04loss\x15\x00\x00\x00\x3f";
        assert_eq!(event, expected);
        assert_eq!(step_of(&event), Some(300));
    }

    #[test]
    fn a_start_over_cuts_off_the_steps_that_do_not_count() {
        let directory = tempfile::tempdir().unwrap();
        let scalar = [("loss/tc".to_string(), 0.5)];
        let mut events = Events::open(directory.path(), 0).unwrap();
        (1..=200).for_each(|step| events.scalars(step, &scalar).unwrap());
        // A record half written when the process was killed.
        let path = existing(directory.path()).unwrap().unwrap();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 5]).unwrap();
        Events::open(directory.path(), 500).unwrap();
        assert_eq!(steps(directory.path()), (0..200).collect::<Vec<_>>());
        let mut events = Events::open(directory.path(), 130).unwrap();
        events.scalars(131, &scalar).unwrap();
        events.sync().unwrap();
        assert_eq!(steps(directory.path()), (0..132).collect::<Vec<_>>());
    }
}

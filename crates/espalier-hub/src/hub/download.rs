//! Download of one file: it resumes where an earlier attempt stopped, never takes more bytes than
//! listed, and is complete only with the listed checksum.

use super::client::{Client, interrupted, refused};
use super::listing::RemoteFile;
use crate::error::{HubError, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use ureq::http::header::CONTENT_RANGE;
use ureq::http::{HeaderMap, StatusCode};

/// Attempts per file; each resumes where the one before stopped.
const ATTEMPTS: usize = 3;

/// A file to download.
pub struct Download<'a> {
    pub client: &'a Client,
    /// The path on the hub, below its endpoint.
    pub from: &'a str,
    pub file: &'a RemoteFile,
    /// The local file. Its name is made from the checksum, not by the server.
    pub to: &'a Path,
}

impl Download<'_> {
    /// Completes the file at `to`. After an error, the bytes that arrived stay there for the next
    /// run.
    pub fn run(&self, mut on_position: impl FnMut(u64)) -> Result<()> {
        for _ in 1..ATTEMPTS {
            if self.attempt(&mut on_position).is_ok() {
                return Ok(());
            }
        }
        self.attempt(&mut on_position)
    }

    fn attempt(&self, on_position: &mut impl FnMut(u64)) -> Result<()> {
        let present = self.present()?;
        if present != Some(self.file.bytes) {
            self.resume(present.unwrap_or(0), on_position)?;
        }
        let checksum = &self.file.checksum;
        if !checksum.matches(self.to).map_err(HubError::io(self.to, "cannot read"))? {
            self.discard()?;
            let listed = checksum.as_str();
            return Err(HubError::transfer(format!(
                "its checksum is not {listed}, which the hub lists"
            )));
        }
        Ok(())
    }

    /// The number of bytes that an earlier attempt left. Anything that no attempt can have left is
    /// removed: a link, a directory, a file that is too long.
    fn present(&self) -> Result<Option<u64>> {
        match fs::symlink_metadata(self.to) {
            Ok(metadata) if metadata.is_file() && metadata.len() <= self.file.bytes => {
                Ok(Some(metadata.len()))
            }
            Ok(_) => self.discard().map(|()| None),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(HubError::io(self.to, "cannot read its size")(error)),
        }
    }

    /// Requests the bytes after the first `present` ones and appends them.
    fn resume(&self, present: u64, on_position: &mut impl FnMut(u64)) -> Result<()> {
        let answer = self.client.file(self.from, present)?;
        let start = match answer.status() {
            StatusCode::PARTIAL_CONTENT if first_byte(answer.headers()) == Some(present) => present,
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                self.discard()?;
                return Err(HubError::transfer(format!(
                    "the hub does not send the bytes after byte {present}"
                )));
            }
            status => return Err(refused(status)),
        };
        let mut options = OpenOptions::new();
        let options = if start > 0 {
            options.append(true)
        } else {
            options.write(true).create(true).truncate(true)
        };
        let mut out = options.open(self.to).map_err(HubError::io(self.to, "cannot write"))?;
        self.copy(&mut answer.into_body().into_reader(), start, &mut out, on_position)
    }

    /// Copies the body, up to the listed size, whatever the headers say.
    fn copy(
        &self,
        body: &mut impl Read,
        start: u64,
        out: &mut File,
        on_position: &mut impl FnMut(u64),
    ) -> Result<()> {
        let size = self.file.bytes;
        let mut position = start;
        let mut buffer = [0; 1 << 14];
        loop {
            let got = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(got) => got,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(interrupted(error)),
            };
            position += got as u64;
            if position > size {
                self.discard()?;
                return Err(HubError::transfer(format!(
                    "the hub sends more than the {size} bytes that it lists"
                )));
            }
            out.write_all(&buffer[..got]).map_err(HubError::io(self.to, "cannot write"))?;
            on_position(position);
        }
        if position < size {
            return Err(HubError::transfer(format!(
                "the answer ended after {position} of {size} bytes"
            )));
        }
        Ok(())
    }

    fn discard(&self) -> Result<()> {
        let is_folder = fs::symlink_metadata(self.to).is_ok_and(|metadata| metadata.is_dir());
        let removed =
            if is_folder { fs::remove_dir_all(self.to) } else { fs::remove_file(self.to) };
        removed.map_err(HubError::io(self.to, "cannot remove"))
    }
}

/// The first byte that a partial answer holds: 3 for the header `bytes 3-6/7`.
fn first_byte(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(CONTENT_RANGE)?
        .to_str()
        .ok()?
        .strip_prefix("bytes ")?
        .split_once('-')?
        .0
        .parse()
        .ok()
}

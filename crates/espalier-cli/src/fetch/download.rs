//! One file from the hub: resumed where an earlier try stopped, never longer than listed, whole
//! only with its checksum.

use super::client::{Client, broken_off, refusal};
use super::listing::RemoteFile;
use anyhow::{Context, Result, anyhow, bail};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use ureq::http::header::CONTENT_RANGE;
use ureq::http::{HeaderMap, StatusCode};

/// Tries at one file; each goes on where the one before stopped.
pub const ATTEMPTS: usize = 3;

/// Where a file comes from and where it goes.
pub struct Download<'a> {
    pub client: &'a Client,
    /// The path on the hub, from its endpoint on.
    pub from: &'a str,
    pub file: &'a RemoteFile,
    /// Where the bytes are gathered. Its name comes from the checksum, not from the server.
    pub to: &'a Path,
}

impl Download<'_> {
    /// Fills the file at `to`; it is whole where this is `Ok`, and begun where another run can go
    /// on.
    pub fn run(&self, mut on_position: impl FnMut(u64)) -> Result<()> {
        let mut failure = anyhow!("not tried");
        for _ in 0..ATTEMPTS {
            match self.attempt(&mut on_position) {
                Ok(()) => return Ok(()),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn attempt(&self, on_position: &mut impl FnMut(u64)) -> Result<()> {
        let begun = self.begun()?;
        if begun != Some(self.file.bytes) {
            self.go_on(begun.unwrap_or(0), on_position)?;
        }
        if !self.file.checksum.matches(self.to)? {
            self.discard()?;
            bail!("its checksum is not {}, which the hub lists", self.file.checksum.as_str());
        }
        Ok(())
    }

    /// Bytes that an earlier try left. What no try can have left goes: a link, a folder, more than
    /// the whole.
    fn begun(&self) -> Result<Option<u64>> {
        match fs::symlink_metadata(self.to) {
            Ok(metadata) if metadata.is_file() && metadata.len() <= self.file.bytes => {
                Ok(Some(metadata.len()))
            }
            Ok(_) => self.discard().map(|()| None),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(error).with_context(|| format!("{}: cannot look at", self.to.display()))
            }
        }
    }

    /// Asks for what follows the first `begun` bytes and appends it.
    fn go_on(&self, begun: u64, on_position: &mut impl FnMut(u64)) -> Result<()> {
        let answer = self.client.file(self.from, begun)?;
        let start = match answer.status() {
            StatusCode::PARTIAL_CONTENT if first_byte(answer.headers()) == Some(begun) => begun,
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                self.discard()?;
                bail!("the hub does not send what follows byte {begun}");
            }
            status => return Err(refusal(status)),
        };
        let mut options = OpenOptions::new();
        let options = if start > 0 {
            options.append(true)
        } else {
            options.write(true).create(true).truncate(true)
        };
        let mut out = options
            .open(self.to)
            .with_context(|| format!("{}: cannot write", self.to.display()))?;
        self.copy(&mut answer.into_body().into_reader(), start, &mut out, on_position)
    }

    /// Copies what comes up to the size that is listed, whatever the server says of its own.
    fn copy(
        &self,
        body: &mut impl Read,
        start: u64,
        out: &mut File,
        on_position: &mut impl FnMut(u64),
    ) -> Result<()> {
        let whole = self.file.bytes;
        let mut position = start;
        let mut buffer = [0; 1 << 14];
        loop {
            let got = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(got) => got,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(broken_off(error)),
            };
            position += got as u64;
            if position > whole {
                self.discard()?;
                bail!("the hub sends more than the {whole} bytes that it lists");
            }
            out.write_all(&buffer[..got])
                .with_context(|| format!("{}: cannot write", self.to.display()))?;
            on_position(position);
        }
        if position < whole {
            bail!("the answer ended after {position} of {whole} bytes");
        }
        Ok(())
    }

    fn discard(&self) -> Result<()> {
        let is_folder = fs::symlink_metadata(self.to).is_ok_and(|metadata| metadata.is_dir());
        let removed =
            if is_folder { fs::remove_dir_all(self.to) } else { fs::remove_file(self.to) };
        removed.with_context(|| format!("{}: cannot remove", self.to.display()))
    }
}

/// The number of the first byte in an answer that is a part: `bytes 3-6/7`.
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

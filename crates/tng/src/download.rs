//! One chunk, into a file that has its name when it is whole and right.

use crate::TngError;
use crate::address::{Fields, query};
use crate::attempts::{Attempts, Stop, Trouble};
use crate::client::Event;
use crate::origin::host;
use crate::remote::Remote;
use crate::request::{Answer, described, length, media_type, passing, said};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// How HDF5 files begin.
const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";
/// Bytes that are read before anything is written: of an HTML page, the title is among them.
const HEAD: u64 = 2048;
/// Bytes that are read at once.
const BLOCK: usize = 1 << 18;

/// What is right for a file, or what is wrong with it.
pub(crate) type Check<'a> = &'a dyn Fn(&Path) -> Result<(), String>;

impl Remote {
    /// Downloads the `wanted` fields of a chunk `into` a file, which appears there when it is whole, begins as HDF5 does
    /// and passes `check`. What fails in a way that can pass is tried again. Returns the file's size.
    ///
    /// `check` gets a file of another name beside `into`, and says what is wrong with it. When `stop` is set, it returns
    /// within a moment, or at most after the wait for a connection.
    ///
    /// # Errors
    /// At once: [`TngError::KeyRefused`], [`TngError::NotFound`], [`TngError::Refused`] (a field that is not there),
    /// [`TngError::Redirect`], [`TngError::TooLarge`], [`TngError::NoSpace`], [`TngError::Write`], [`TngError::Stopped`];
    /// after several attempts [`TngError::GaveUp`]. Nothing is left behind then.
    pub fn fetch(
        &self,
        chunk: usize,
        wanted: &[Fields],
        into: &Path,
        check: &dyn Fn(&Path) -> Result<(), String>,
        stop: &AtomicBool,
    ) -> Result<u64, TngError> {
        self.fetch_until(chunk, &query(wanted)?, into, check, &|| stop.load(Ordering::Relaxed))
    }

    pub(crate) fn fetch_until(
        &self,
        chunk: usize,
        query: &str,
        into: &Path,
        check: Check<'_>,
        stop: Stop<'_>,
    ) -> Result<u64, TngError> {
        let what = format!("{}, chunk {chunk}", self.address());
        if chunk >= self.chunks() {
            return Err(TngError::NoChunk { what, chunks: self.chunks() });
        }
        let (simulation, snapshot) = (self.address().simulation(), self.address().snapshot());
        let uri = self.client.at(&format!("{simulation}/files/snapshot-{snapshot}.{chunk}.hdf5?{query}"))?;
        Attempts::new(&self.client, &what, query, stop).make(|attempts| {
            let answer = attempts.get(&uri, "application/x-hdf5, application/octet-stream, */*")?;
            attempts.keep(answer, into, check)
        })
    }
}

impl Attempts<'_> {
    /// Writes an answer to a file, which is then checked and named.
    fn keep(&mut self, answer: Answer, into: &Path, check: Check<'_>) -> Result<u64, Trouble> {
        let write = |source| Trouble::Lasting(TngError::Write { path: into.into(), source });
        let mut trouble = None;
        let draft = finescale_durable::draft(into, |file| {
            self.pour(answer, file, into).map_err(|found| {
                trouble = Some(found);
                io::Error::other("what came is not to be kept")
            })
        });
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        let draft = draft.map_err(write)?;
        check(draft.path())
            .map_err(|problem| passing(format!("what came is wrong: {}", self.client.cleaned(&problem))))?;
        draft.commit().map_err(write)?;
        Ok(self.received)
    }

    /// Everything that comes, up to the promised length.
    fn pour(&mut self, answer: Answer, file: &mut dyn Write, into: &Path) -> Result<(), Trouble> {
        let Answer { response, uri } = answer;
        let (host, media_type) = (self.client.cleaned(host(&uri)), media_type(&response).to_owned());
        let promised = length(&response);
        self.check_size(promised.unwrap_or(0))?;
        self.check_space(promised.unwrap_or(0), into)?;
        let write = |source| Trouble::Lasting(TngError::Write { path: into.into(), source });

        // The beginning, which says whether it is HDF5.
        let mut body = response.into_body().into_reader();
        let mut head = Vec::new();
        let begun = body.by_ref().take(HEAD).read_to_end(&mut head);
        self.receive(head.len())?;
        begun.map_err(|error| self.cut(&host, promised, error))?;
        if !head.starts_with(SIGNATURE) {
            let found = self.client.cleaned(&described(&head, &media_type));
            return Err(passing(format!("{host} sends no HDF5, but {found}")));
        }
        file.write_all(&head).map_err(write)?;

        // The rest.
        let mut block = vec![0; BLOCK];
        loop {
            let count = match body.read(&mut block) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.cut(&host, promised, error)),
            };
            self.receive(count)?;
            file.write_all(&block[..count]).map_err(write)?;
        }
        match promised {
            Some(promised) if promised != self.received => {
                Err(passing(format!("{host} promises {promised} bytes and sends {}", self.received)))
            }
            _ => Ok(()),
        }
    }

    fn receive(&mut self, bytes: usize) -> Result<(), Trouble> {
        let bytes = bytes as u64;
        self.received += bytes;
        self.client.tell(&Event::Received { bytes });
        match (self.stop)() {
            true => Err(TngError::Stopped { what: self.what.into() }.into()),
            false => self.check_size(self.received),
        }
    }

    fn check_size(&self, bytes: u64) -> Result<(), Trouble> {
        let largest = self.client.options().largest_file;
        match bytes > largest {
            true => Err(TngError::TooLarge { what: self.what.into(), largest }.into()),
            false => Ok(()),
        }
    }

    /// Whether so many bytes fit the disk; where that cannot be known, writing will tell.
    fn check_space(&self, bytes: u64, into: &Path) -> Result<(), Trouble> {
        let folder = into.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let Ok(disk) = rustix::fs::statvfs(folder) else { return Ok(()) };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        match bytes > free {
            true => {
                let (path, what) = (into.into(), self.what.into());
                Err(TngError::NoSpace { path, what, bytes, free }.into())
            }
            false => Ok(()),
        }
    }

    fn cut(&self, host: &str, promised: Option<u64>, error: io::Error) -> Trouble {
        let promised = promised.map_or("an unknown number".into(), |promised| promised.to_string());
        let problem = said(&error.into());
        passing(format!("{host}: {problem} after {} of {promised} bytes", self.received))
    }
}

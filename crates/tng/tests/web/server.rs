//! A server that answers as it is told, and remembers what it was asked.

use finescale_tng::{Address, Client, Fields, Key, Options, Remote};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The key of all tests, which nothing may show.
pub(crate) const KEY: &str = "0fedcba987654321key";
pub(crate) const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";
/// How a whole chunk ends.
const END: &[u8] = b"END OF CHUNK";

/// One part of an answer.
#[derive(Clone)]
pub(crate) enum Part {
    Bytes(Vec<u8>),
    Pause(Duration),
}

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    /// How often the same was asked before.
    pub(crate) before: usize,
}

impl Asked {
    /// Number of the chunk that was asked for.
    pub(crate) fn chunk(&self) -> Option<usize> {
        let (_, rest) = self.path.split_once("/files/snapshot-99.")?;
        rest.split_once(".hdf5?")?.0.parse().ok()
    }
}

type Answer = dyn Fn(&Asked) -> Vec<Part> + Send + Sync;

pub(crate) struct Server {
    pub(crate) authority: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    over: Arc<AtomicBool>,
}

impl Server {
    /// A server on a free port of `host`.
    pub(crate) fn on(host: &str, answer: impl Fn(&Asked) -> Vec<Part> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let (asked, over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (seen, ends, answer): (_, _, Arc<Answer>) =
            (Arc::clone(&asked), Arc::clone(&over), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::Relaxed) {
                    break;
                }
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                // A client that hangs up is no fault of the server.
                thread::spawn(move || stream.and_then(|stream| serve(&stream, &seen, &*answer)));
            }
        });
        Self { authority, asked, over }
    }

    /// The API on this machine, with a snapshot of `chunks` chunks, which `chunk` answers for.
    pub(crate) fn api(chunks: usize, chunk: impl Fn(&Asked) -> Vec<Part> + Send + Sync + 'static) -> Self {
        Self::on("127.0.0.1", move |asked| match asked.path.as_str() {
            "/api/TNG300-1/" => json(&format!(r#"{{"name": "TNG300-1", "num_files_snapshot": {chunks}}}"#)),
            "/api/TNG300-1/snapshots/99/" => json(r#"{"number": 99, "redshift": 2.2e-16, "url": "x"}"#),
            _ => chunk(asked),
        })
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How often it was asked for files.
    pub(crate) fn downloads(&self) -> usize {
        self.asked().iter().filter(|asked| asked.chunk().is_some()).count()
    }

    pub(crate) fn client(&self) -> Client {
        self.client_with(self.options())
    }

    pub(crate) fn client_with(&self, options: Options) -> Client {
        Client::new(Key::new(KEY).unwrap(), options).unwrap()
    }

    /// A client that waits for so long for a byte.
    pub(crate) fn client_waiting(&self, stall_timeout: Duration) -> Client {
        self.client_with(Options { stall_timeout, ..self.options() })
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            api: format!("http://{}/api/", self.authority),
            attempts: 4,
            connections: 3,
            connect_timeout: Duration::from_secs(2),
            // Longer than a busy machine needs for an answer.
            stall_timeout: Duration::from_secs(5),
            first_wait: Duration::from_millis(4),
            longest_wait: Duration::from_millis(20),
            longest_retry_after: Duration::from_millis(1500),
            data_hosts: Vec::new(),
            ..Options::default()
        }
    }

    pub(crate) fn remote(&self) -> Remote {
        remote(&self.client())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(&self.authority);
    }
}

fn serve(stream: &TcpStream, seen: &Mutex<Vec<Asked>>, answer: &Answer) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let path = lines.next().unwrap_or(Ok(String::new()))?.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut all = seen.lock().unwrap();
    let asked = Asked { before: all.iter().filter(|old| old.path == path).count(), path, headers };
    all.push(asked.clone());
    drop(all);
    for part in answer(&asked) {
        match part {
            Part::Bytes(bytes) => (&mut &*stream).write_all(&bytes)?,
            Part::Pause(time) => thread::sleep(time),
        }
    }
    Ok(())
}

/// An answer with any status and headers.
pub(crate) fn answer(status: u16, headers: &str, body: &[u8]) -> Vec<Part> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} So\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
    vec![Part::Bytes([head.as_bytes(), body].concat())]
}

/// An answer that promises another length than it has.
pub(crate) fn promising(length: usize, body: &[u8]) -> Vec<Part> {
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    vec![Part::Bytes([head.as_bytes(), body].concat())]
}

pub(crate) fn json(text: &str) -> Vec<Part> {
    answer(200, "Content-Type: application/json\r\n", text.as_bytes())
}

pub(crate) fn ok(body: &[u8]) -> Vec<Part> {
    answer(200, "Content-Type: application/octet-stream\r\n", body)
}

pub(crate) fn redirect(to: &str) -> Vec<Part> {
    answer(302, &format!("Location: {to}\r\n"), b"")
}

pub(crate) fn page(status: u16, title: &str) -> Vec<Part> {
    let html = format!("<!DOCTYPE html><html><title>{title}</title></html>");
    answer(status, "Content-Type: text/html\r\n", html.as_bytes())
}

/// What a chunk holds: longer than what is read at once.
pub(crate) fn content(chunk: usize) -> Vec<u8> {
    let filler: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
    [SIGNATURE, format!("chunk {chunk} ").as_bytes(), &filler, END].concat()
}

/// Whether a file is a whole chunk.
pub(crate) fn check(chunk: usize, path: &Path) -> Result<(), String> {
    match std::fs::read(path).unwrap() == content(chunk) {
        true => Ok(()),
        false => Err("its header promises other counts".into()),
    }
}

pub(crate) fn remote(client: &Client) -> Remote {
    let address = Address::parse("tng:TNG300-1/99").unwrap().unwrap();
    client.simulation(&address, &AtomicBool::new(false)).unwrap()
}

pub(crate) fn gas() -> [Fields; 1] {
    [Fields::new("gas", ["Coordinates", "Masses"])]
}

/// Names in a folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

//! One chunk.

use crate::server::*;
use finescale_tng::{Client, Event, Fields, Key, Options, TngError};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Chunk 7 into an empty folder; what is there afterwards.
fn fetch(client: &Client) -> (Result<u64, TngError>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("seven.hdf5");
    let remote = remote(client);
    let fetched = remote.fetch(7, &gas(), &into, &|path| check(7, path), &AtomicBool::new(false));
    if fetched.is_ok() {
        check(7, &into).unwrap();
    }
    (fetched, names(folder.path()))
}

/// It works at last, after `failures` failures.
fn works_after(failures: usize, chunk: impl Fn(&Asked) -> Vec<Part> + Send + Sync + 'static) -> Duration {
    let server =
        Server::api(9, move |asked| if asked.before < failures { chunk(asked) } else { ok(&content(7)) });
    let start = Instant::now();
    let (fetched, names) = fetch(&server.client());
    assert_eq!(fetched.unwrap(), content(7).len() as u64);
    assert_eq!(names, ["seven.hdf5"]);
    assert_eq!(server.downloads(), failures + 1);
    start.elapsed()
}

/// It never works: the error, and how often it was tried.
fn fails(chunk: impl Fn(&Asked) -> Vec<Part> + Send + Sync + 'static) -> (TngError, usize) {
    let server = Server::api(9, chunk);
    let (fetched, names) = fetch(&server.client());
    assert!(names.is_empty(), "{names:?}");
    let error = fetched.unwrap_err();
    assert!(error.to_string().contains("tng:TNG300-1/99, chunk 7"), "{error}");
    (error, server.downloads())
}

fn gave_up(chunk: impl Fn(&Asked) -> Vec<Part> + Send + Sync + 'static, problem: &str) {
    let (error, tries) = fails(chunk);
    let text = error.to_string();
    assert!(matches!(error, TngError::GaveUp { attempts: 4, .. }) && !error.is_input(), "{text}");
    assert!(text.contains(problem) && text.contains("failed 4 times"), "{text}");
    assert_eq!(tries, 4);
}

#[test]
fn a_chunk_comes_with_the_key_and_only_the_wanted_fields() {
    let server = Server::api(9, |_| ok(&content(7)));
    assert_eq!(fetch(&server.client()).0.unwrap(), content(7).len() as u64);
    let asked = server.asked();
    assert_eq!(asked[2].path, "/api/TNG300-1/files/snapshot-99.7.hdf5?gas=Coordinates,Masses");
    for asked in asked {
        assert_eq!(asked.headers["api-key"], KEY);
        assert_eq!(asked.headers["accept-encoding"], "identity");
        assert!(asked.headers["user-agent"].starts_with("finescale/"));
    }
}

#[test]
fn an_answer_without_a_length_is_taken_to_its_end() {
    let mut chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for part in content(7).chunks(70_000) {
        chunked.extend([format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat());
    }
    let whole = [&chunked[..], b"0\r\n\r\n"].concat();
    works_after(0, |_| Vec::new());
    let server = Server::api(9, move |_| vec![Part::Bytes(whole.clone())]);
    assert!(fetch(&server.client()).0.is_ok());
    // Without its last part it is cut off.
    gave_up(move |_| vec![Part::Bytes(chunked.clone())], "cut");
}

#[test]
fn a_stalled_download_is_tried_again() {
    let (stall, patience) = (Duration::from_secs(20), Duration::from_millis(400));
    let server = Server::api(9, move |asked| match asked.before {
        0 => [promising(content(7).len(), &content(7)[..100_000]), vec![Part::Pause(stall)]].concat(),
        1 => vec![Part::Pause(stall)],
        _ => ok(&content(7)),
    });
    let start = Instant::now();
    assert!(fetch(&server.client_waiting(patience)).0.is_ok());
    assert!((2 * patience..stall).contains(&start.elapsed()), "{:?}", start.elapsed());

    let server = Server::api(9, move |_| vec![Part::Pause(stall)]);
    let error = fetch(&server.client_waiting(patience)).0.unwrap_err();
    assert!(matches!(error, TngError::GaveUp { attempts: 4, .. }), "{error}");
    assert!(error.to_string().contains("no answer in time"), "{error}");
}

#[test]
fn a_slow_download_that_goes_on_is_waited_for() {
    let whole = content(7);
    let server = Server::api(9, move |_| {
        let mut parts = promising(whole.len(), b"");
        for part in whole.chunks(whole.len().div_ceil(6)) {
            parts.extend([Part::Pause(Duration::from_millis(250)), Part::Bytes(part.to_vec())]);
        }
        parts
    });
    // Shorter than it takes in all.
    assert!(fetch(&server.client_waiting(Duration::from_millis(1000))).0.is_ok());
    assert_eq!(server.downloads(), 1);
}

#[test]
fn a_cut_download_is_tried_again() {
    works_after(2, |_| promising(content(7).len(), &content(7)[..1234]));
    works_after(1, |_| promising(content(7).len(), &content(7)[..3]));
    works_after(1, |_| Vec::new());
    gave_up(|_| promising(content(7).len(), &content(7)[..1234]), "after 1234 of 300028 bytes");
    gave_up(|_| vec![Part::Bytes(b"HTTP/1.1 200 O".to_vec())], "the connection was cut");
    gave_up(|_| vec![Part::Bytes(b"hello\r\n\r\n".to_vec())], "no HTTP");
}

#[test]
fn wrong_lengths_are_tried_again() {
    works_after(1, |_| promising(content(7).len() + 10, &content(7)));
    // What is beyond the promised length is not read, and the file then is not whole.
    works_after(1, |_| promising(content(7).len() - 10, &content(7)));
}

#[test]
fn a_length_beside_parts_counts_too() {
    // The parts say where the end is, and the length says another one.
    works_after(1, |_| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\nTransfer-Encoding: chunked\r\n\r\n";
        let parts =
            [format!("{:x}\r\n", content(7).len()).as_bytes(), &content(7), b"\r\n0\r\n\r\n"].concat();
        vec![Part::Bytes([&head[..], &parts].concat())]
    });
}

#[test]
fn too_many_requests_are_waited_for_as_the_server_says() {
    let took = works_after(1, |_| answer(429, "Retry-After: 1\r\n", b"slow down"));
    assert!(took >= Duration::from_secs(1), "{took:?}");
    // No longer than the options allow, and not by words.
    let took = works_after(1, |_| answer(503, "Retry-After: 86400\r\n", b""));
    assert!((Duration::from_millis(1500)..Duration::from_secs(10)).contains(&took), "{took:?}");
    works_after(1, |_| answer(429, "Retry-After: Wed, 21 Oct 2099 07:28:00 GMT\r\n", b""));
    gave_up(|_| answer(429, "", br#"{"detail": "Request was throttled."}"#), "Request was throttled.");
}

#[test]
fn gateways_that_time_out_are_tried_again() {
    works_after(3, |_| page(504, "504 Gateway Time-out"));
    gave_up(|_| page(504, "504 Gateway Time-out"), "status 504: 504 Gateway Time-out");
}

#[test]
fn wrong_bytes_are_tried_again() {
    works_after(1, |_| ok(&content(8)));
    gave_up(|_| ok(&content(8)), "what came is wrong: its header promises other counts");
}

#[test]
fn what_is_no_hdf5_is_named() {
    works_after(1, |_| page(200, "Maintenance"));
    gave_up(|_| page(200, "Login"), "sends no HDF5, but an HTML page, \"Login\"");
    gave_up(|_| ok(b""), "sends no HDF5, but nothing");
    gave_up(|_| ok(b"one moment"), "sends no HDF5, but the text \"one moment\"");
}

#[test]
fn redirects_at_the_same_host_keep_the_key() {
    let server = Server::api(9, |asked| match asked.chunk() {
        Some(_) => redirect("/data/seven?token=1"),
        None => ok(&content(7)),
    });
    assert!(fetch(&server.client()).0.is_ok());
    let last = server.asked().pop().unwrap();
    assert_eq!((last.path.as_str(), last.headers["api-key"].as_str()), ("/data/seven?token=1", KEY));
}

#[test]
fn another_host_does_not_get_the_key() {
    for host in ["127.0.0.2", "127.0.0.1"] {
        let other = Server::on(host, |_| ok(&content(7)));
        let to = format!("http://{}/seven?token=1", other.authority);
        let server = Server::api(9, move |_| redirect(&to));
        assert!(fetch(&server.client()).0.is_ok());
        let asked = other.asked();
        assert_eq!(asked.len(), 1);
        assert!(
            !format!("{asked:?}").contains(KEY) && !asked[0].headers.contains_key("api-key"),
            "{asked:?}"
        );
    }
}

#[test]
fn no_address_tells_the_key_to_another_host() {
    let other = Server::on("127.0.0.2", |_| ok(&content(7)));
    let to = format!("http://{}/seven?token={}", other.authority, KEY.to_uppercase());
    let (error, asked) = fails(move |_| redirect(&to));
    assert!(matches!(error, TngError::Redirect { .. }), "{error}");
    assert_eq!((asked, other.asked().len()), (1, 0));
}

#[test]
fn redirects_end() {
    let (error, asked) = fails(|_| redirect("snapshot-99.7.hdf5?gas=Coordinates,Masses"));
    assert!(matches!(error, TngError::Redirect { .. }), "{error}");
    assert_eq!(asked, 11);
    for to in ["ftp://example.org/x", "", "https://me:pass@example.org/"] {
        let (error, asked) = fails(move |_| redirect(to));
        assert!(matches!(error, TngError::Redirect { .. }), "{error}");
        assert!(!error.to_string().contains("pass"), "{error}");
        assert_eq!(asked, 1);
    }
}

/// A data host that fails, and one that does not, or answers with `status`.
fn with_data_hosts(status: u16) -> (Result<u64, TngError>, usize, usize) {
    let broken = Server::on("127.0.0.2", |asked| match asked.before {
        0..3 => page(502, "Bad Gateway"),
        _ => ok(&content(7)),
    });
    let sound = Server::on("127.0.0.3", move |_| answer(status, "", &content(7)));
    let to = format!("http://{}/seven?token=1", broken.authority);
    let server = Server::api(9, move |_| redirect(&to));
    let data_hosts = vec![broken.authority.clone(), sound.authority.clone()];
    let options = Options { data_hosts, ..server.options() };
    let fetched = fetch(&server.client_with(options)).0;
    assert!(sound.asked().iter().all(|asked| asked.path == "/seven?token=1"));
    assert!(
        [&broken, &sound].iter().all(|host| host.asked().iter().all(|a| !a.headers.contains_key("api-key")))
    );
    (fetched, broken.asked().len(), sound.asked().len())
}

#[test]
fn the_other_data_host_is_asked_when_one_keeps_failing() {
    let (fetched, broken, sound) = with_data_hosts(200);
    assert!(fetched.is_ok());
    assert_eq!((broken, sound), (2, 1));
    // That it refuses what was not meant for it ends nothing.
    let (fetched, broken, sound) = with_data_hosts(403);
    let error = fetched.unwrap_err();
    assert!(matches!(error, TngError::GaveUp { attempts: 4, .. }), "{error}");
    assert_eq!((broken, sound), (2, 2));
}

#[test]
fn what_would_fail_again_is_told_at_once() {
    for status in [401, 403] {
        let (error, asked) = fails(move |_| answer(status, "", br#"{"detail": "Invalid token."}"#));
        assert!(matches!(error, TngError::KeyRefused { .. }) && error.is_input(), "{error}");
        assert!(
            error.to_string().contains("Invalid token.") && error.to_string().contains("TNG_API_KEY"),
            "{error}"
        );
        assert_eq!(asked, 1);
    }
    let (error, asked) = fails(|_| page(404, "Not Found"));
    assert!(matches!(error, TngError::NotFound { .. }) && error.is_input(), "{error}");
    assert_eq!(asked, 1);
    let (error, asked) =
        fails(|_| answer(400, "", b"No\x1b[31m field\r\n [Masses] \xff in PartType0".as_slice()));
    assert!(matches!(error, TngError::Refused { status: 400, .. }) && error.is_input(), "{error}");
    let text = error.to_string();
    assert!(text.contains("gas=Coordinates,Masses") && text.contains("field [Masses]"), "{text}");
    assert!(!text.contains(char::is_control), "{text:?}");
    assert_eq!(asked, 1);
    // One who is asked without the key may ask for it.
    let other = Server::on("127.0.0.2", |_| page(403, "Who are you?"));
    let to = format!("http://{}/", other.authority);
    let (error, _) = fails(move |_| redirect(&to));
    assert!(matches!(error, TngError::Refused { status: 403, .. }), "{error}");
    assert!(error.to_string().contains("without the key"), "{error}");
    let (error, _) = fails(|_| answer(418, "", &[b'x'; 100_000]));
    assert!(matches!(error, TngError::Refused { .. }) && error.to_string().len() < 600, "{error}");
}

#[test]
fn what_is_too_large_is_refused_before_it_is_written() {
    let server = Server::api(9, |asked| match asked.before {
        0 => promising(1 << 60, SIGNATURE),
        _ => vec![Part::Bytes([b"HTTP/1.1 200 OK\r\n\r\n", &content(7)[..]].concat())],
    });
    let small = server.client_with(Options { largest_file: 100_000, ..server.options() });
    // By the promised length, and by what comes.
    for _ in 0..2 {
        let (fetched, names) = fetch(&small);
        assert!(matches!(fetched, Err(TngError::TooLarge { .. })), "{fetched:?}");
        assert!(names.is_empty());
    }
    assert_eq!(server.downloads(), 2);

    let server = Server::api(9, |_| promising(1 << 60, SIGNATURE));
    let any = Options { largest_file: u64::MAX, ..server.options() };
    let error = fetch(&server.client_with(any)).0.unwrap_err();
    assert!(matches!(error, TngError::NoSpace { bytes, .. } if bytes == 1 << 60), "{error}");
}

#[test]
fn what_cannot_be_asked_for_is_not_asked_for() {
    let server = Server::api(9, |_| ok(&content(7)));
    let (remote, folder) = (server.remote(), tempfile::tempdir().unwrap());
    let (into, go_on) = (folder.path().join("a.hdf5"), AtomicBool::new(false));
    let error = remote.fetch(9, &gas(), &into, &|_| Ok(()), &go_on).unwrap_err();
    assert!(matches!(error, TngError::NoChunk { chunks: 9, .. }), "{error}");
    let error = remote.fetch(7, &[Fields::new("gas", ["a&b"])], &into, &|_| Ok(()), &go_on).unwrap_err();
    assert!(matches!(error, TngError::Fields { .. }), "{error}");
    let error = remote.fetch(7, &gas(), folder.path(), &|_| Ok(()), &go_on).unwrap_err();
    assert!(matches!(error, TngError::Write { .. }), "{error}");
    // Only the last one was asked for, and once.
    assert_eq!(server.downloads(), 1);
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let (client, gone) = {
        let server = Server::api(9, |_| Vec::new());
        (server.client(), server.authority.clone())
    };
    let address = finescale_tng::Address::parse("tng:TNG300-1/99").unwrap().unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let error = client.simulation(&address, &AtomicBool::new(false)).unwrap_err();
    assert!(matches!(error, TngError::GaveUp { .. }) && error.to_string().contains(&gone), "{error}");
}

#[test]
fn a_server_without_encryption_is_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let asked = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for _ in 0..4 {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
            // Until the client hangs up, in whatever way.
            let _ = stream.read_to_end(&mut asked);
        }
        String::from_utf8_lossy(&asked).into_owned()
    });
    let server = Server::api(9, |_| Vec::new());
    let options = Options { api: format!("https://{authority}/api"), ..server.options() };
    let address = finescale_tng::Address::parse("tng:TNG300-1/99").unwrap().unwrap();
    let error = server.client_with(options).simulation(&address, &AtomicBool::new(false)).unwrap_err();
    assert!(matches!(error, TngError::GaveUp { .. }), "{error}");
    assert!(error.to_string().contains("no safe connection"), "{error}");
    let asked = asked.join().unwrap();
    assert!(!asked.is_empty() && !asked.contains(KEY) && !asked.contains("GET"));
}

#[test]
fn a_stop_ends_a_stalled_download_and_a_wait() {
    let stalled = || vec![Part::Bytes(promising_head()), Part::Pause(Duration::from_secs(20))];
    for answers_429 in [false, true] {
        let server = Server::api(9, move |_| match answers_429 {
            true => answer(429, "Retry-After: 20\r\n", b""),
            false => stalled(),
        });
        let (stall_timeout, longest_retry_after) = (Duration::from_secs(20), Duration::from_secs(20));
        let options = Options { stall_timeout, longest_retry_after, ..server.options() };
        let remote = remote(&server.client_with(options));
        let folder = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(false);
        let start = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(300));
                stop.store(true, Ordering::Relaxed);
            });
            let error = remote.fetch(7, &gas(), &folder.path().join("a"), &|_| Ok(()), &stop).unwrap_err();
            assert!(matches!(error, TngError::Stopped { .. }), "{error}");
        });
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert!(names(folder.path()).is_empty());
    }
}

fn promising_head() -> Vec<u8> {
    let Some(Part::Bytes(bytes)) = promising(content(7).len(), &content(7)[..50_000]).pop() else {
        unreachable!()
    };
    bytes
}

#[test]
fn what_happens_is_told() {
    let server = Server::api(9, |asked| match asked.before {
        0 => promising(content(7).len(), &content(7)[..5000]),
        _ => ok(&content(7)),
    });
    let (received, retries) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (bytes, told) = (Arc::clone(&received), Arc::clone(&retries));
    let client = Client::with_events(Key::new(KEY).unwrap(), server.options(), move |event| match event {
        Event::Received { bytes: more } => _ = bytes.fetch_add(*more, Ordering::Relaxed),
        Event::Retry { what, problem, lost, .. } => {
            told.lock().unwrap().push(format!("{what}: {problem} ({lost})"))
        }
        _ => {}
    });
    assert!(fetch(&client.unwrap()).0.is_ok());
    assert_eq!(received.load(Ordering::Relaxed), 5000 + content(7).len() as u64);
    let retries = retries.lock().unwrap();
    assert_eq!(retries.len(), 1);
    assert!(
        retries[0].starts_with("tng:TNG300-1/99, chunk 7: 127.0.0.1:") && retries[0].ends_with("(5000)"),
        "{retries:?}"
    );
}

//! Nothing says the key: no error, no event, no log.

use crate::server::*;
use finescale_tng::{Address, Client, Event, Key, TngError};
use std::error::Error;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

static LOGGED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps all that any crate logs.
struct Log;

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        LOGGED.lock().unwrap().push(format!("{} {}", record.target(), record.args()));
    }
    fn flush(&self) {}
}

/// Everything that an error shows in any way.
fn shown(error: &TngError) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut source = error.source();
    while let Some(inner) = source {
        text += &format!(" {inner} {inner:?}");
        source = inner.source();
    }
    text
}

/// Servers that say the key back wherever they can.
fn repeating(asked: &Asked, case: usize) -> Vec<Part> {
    let key = asked.headers.get("api-key").cloned().unwrap_or_default();
    let location = format!("Location: http://{key}.example.org:x/{key}\r\n");
    match case {
        0 => answer(400, "", format!("no field for {key}").as_bytes()),
        1 => answer(401, "", format!(r#"{{"detail": "Invalid token {key}"}}"#).as_bytes()),
        2 => page(403, &key),
        3 => page(504, &key),
        4 => answer(429, &format!("X-Key: {key}\r\n"), key.as_bytes()),
        5 => answer(302, &location, b""),
        6 => answer(302, &format!("Location: http://{key}@127.0.0.1/\r\n"), b""),
        7 => answer(302, &format!("Location: http://127.0.0.1:9/{key}?token={key}\r\n"), b""),
        8 => page(200, &key),
        9 => ok(key.as_bytes()),
        10 => promising(50_000, format!("\u{89}HDF{key}").as_bytes()),
        11 => vec![Part::Bytes(format!("HTTP/1.1 {key}\r\n\r\n").into_bytes())],
        12 => page(404, &key),
        13 => promising(1 << 62, key.as_bytes()),
        14 => answer(200, &format!("{key}\r\n"), b""),
        _ => ok(&content(1)),
    }
}

#[test]
fn nothing_says_the_key() {
    log::set_logger(&Log).unwrap();
    // At the level trace ureq would say where a redirect leads: the workspace has it compiled out.
    log::set_max_level(log::LevelFilter::Trace);
    let folder = tempfile::tempdir().unwrap();
    let (mut kinds, told) = (Vec::new(), Arc::new(Mutex::new(String::new())));
    for case in 0..=15 {
        let server = Server::api(9, move |asked| repeating(asked, case));
        let told = Arc::clone(&told);
        let tell = move |event: &Event<'_>| *told.lock().unwrap() += &format!("{event:?}\n");
        let client = Client::with_events(Key::new(KEY).unwrap(), server.options(), tell).unwrap();
        let remote = remote(&client);
        let check = |_: &std::path::Path| Err(format!("not right for {KEY}"));
        let error =
            remote.fetch(7, &gas(), &folder.path().join("a"), &check, &AtomicBool::new(false)).unwrap_err();
        assert!(server.asked().iter().any(|asked| asked.headers["api-key"] == KEY));
        for text in [shown(&error), format!("{client:?} {remote:?}")] {
            assert!(!text.contains(KEY), "case {case}: {text}");
        }
        kinds.push(std::mem::discriminant(&error));
        // The same of descriptions.
        let server = Server::on("127.0.0.1", move |asked| repeating(asked, case));
        let address = Address::parse("tng:TNG300-1/99").unwrap().unwrap();
        let error = server.client().simulation(&address, &AtomicBool::new(false)).unwrap_err();
        assert!(!shown(&error).contains(KEY), "case {case}: {}", shown(&error));
    }
    kinds.dedup();
    assert!(kinds.len() > 4);
    assert!(names(folder.path()).is_empty());
    let told = told.lock().unwrap();
    assert!(told.contains("Retry") && !told.contains(KEY), "{told}");
    // A copy: a failure below must not stop what other tests log.
    let logged = LOGGED.lock().unwrap().clone();
    assert!(logged.iter().any(|line| line.starts_with("ureq")), "ureq logs, and this test sees it");
    for line in logged {
        assert!(!line.contains(KEY), "{line}");
    }
}

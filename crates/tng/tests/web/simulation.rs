//! What the service says of a snapshot.

use crate::server::*;
use finescale_tng::{Address, Remote, TngError};
use std::sync::atomic::AtomicBool;

fn ask(server: &Server) -> Result<Remote, TngError> {
    let address = Address::parse("tng:TNG300-1/99").unwrap().unwrap();
    server.client().simulation(&address, &AtomicBool::new(false))
}

/// The API with `run` as what it says of the run, and `snapshot` of the snapshot.
fn saying(run: Vec<Part>, snapshot: Vec<Part>) -> Server {
    Server::on("127.0.0.1", move |asked| match asked.path.contains("/snapshots/") {
        true => snapshot.clone(),
        false => run.clone(),
    })
}

#[test]
fn a_snapshot_says_its_chunks_and_its_redshift() {
    let remote = ask(&Server::api(600, |_| Vec::new())).unwrap();
    assert_eq!((remote.chunks(), remote.redshift()), (600, 2.2e-16));
    assert_eq!(remote.address().to_string(), "tng:TNG300-1/99");
}

#[test]
fn what_is_not_there_is_named() {
    let error = ask(&saying(page(404, ""), Vec::new())).unwrap_err();
    assert!(matches!(&error, TngError::NotFound { what, .. } if what == "simulation TNG300-1"), "{error}");
    let error = ask(&saying(json(r#"{"num_files_snapshot": 600}"#), page(404, ""))).unwrap_err();
    assert!(
        matches!(&error, TngError::NotFound { what, .. } if what == "snapshot 99 of TNG300-1"),
        "{error}"
    );
}

#[test]
fn other_answers_are_named() {
    let good = || json(r#"{"num_files_snapshot": 600}"#);
    for (run, snapshot, found) in [
        (page(200, "Login"), Vec::new(), "an HTML page, \"Login\""),
        (json("{}"), Vec::new(), "num_files_snapshot"),
        (json(r#"{"num_files_snapshot": 600"#), Vec::new(), "the text"),
        (
            json(r#"{"num_files_snapshot": 0}"#),
            json(r#"{"number": 99, "redshift": 0}"#),
            "num_files_snapshot = 0",
        ),
        (json(r#"{"num_files_snapshot": -3}"#), Vec::new(), "other JSON"),
        (json(&" ".repeat(2 << 20)), Vec::new(), "more than a MiB"),
        (good(), json(r#"{"number": 98, "redshift": 0.1}"#), "number = 98"),
        (good(), json(r#"{"number": 99, "redshift": null}"#), "other JSON"),
    ] {
        let error = ask(&saying(run, snapshot)).unwrap_err();
        assert!(matches!(error, TngError::Answer { .. }) && !error.is_input(), "{error}");
        assert!(error.to_string().contains(found) && error.to_string().len() < 600, "{error}");
    }
}

#[test]
fn what_can_pass_is_asked_again() {
    let server = Server::on("127.0.0.1", |asked| match (asked.before, asked.path.contains("/snapshots/")) {
        (0, _) => page(503, "Service Unavailable"),
        (1, _) => promising(100, b"{"),
        (_, false) => json(r#"{"num_files_snapshot": 600}"#),
        (_, true) => json(r#"{"number": 99, "redshift": 0.0}"#),
    });
    assert_eq!(ask(&server).unwrap().chunks(), 600);
    assert_eq!(server.asked().len(), 6);
    let error = ask(&saying(page(410, "Gone"), Vec::new())).unwrap_err();
    assert!(
        matches!(error, TngError::Refused { .. }) && error.to_string().contains("FINESCALE_TNG_API"),
        "{error}"
    );
    let error = ask(&saying(page(401, "Who are you?"), Vec::new())).unwrap_err();
    assert!(matches!(error, TngError::KeyRefused { .. }), "{error}");
}

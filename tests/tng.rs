//! Snapshots over the web, from a server on this machine that has bad moments.

use crate::binary::{fails, finescale, names};
use assert_cmd::Command;
use finescale_field::Cosmology;
use finescale_snapshot::{Mass, SnapshotWriter, Species, SpeciesData, read_grid};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

const KEY: &str = "0123456789abcdef0123456789abcdef";
const FILES: usize = 4;

/// Serves the files of a snapshot as the API does; each is asked for at least twice, since the first answer is bad.
fn serve(folder: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/api", listener.local_addr().unwrap());
    let folder = folder.to_owned();
    std::thread::spawn(move || {
        let asked: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
        for stream in listener.incoming() {
            let (folder, asked) = (folder.clone(), Arc::clone(&asked));
            std::thread::spawn(move || answer(&stream.unwrap(), &folder, &asked));
        }
    });
    address
}

fn answer(mut stream: &TcpStream, folder: &Path, asked: &Mutex<HashMap<String, usize>>) -> Option<()> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let has_key = lines.take_while(|line| !line.is_empty()).any(|line| line == format!("api-key: {KEY}"));
    let before = *asked.lock().unwrap().entry(path.clone()).and_modify(|count| *count += 1).or_insert(0);
    let mut send = |status: &str, body: &[u8], promised: usize| {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {promised}\r\nConnection: close\r\n\r\n");
        stream.write_all(&[head.as_bytes(), body].concat()).ok()
    };
    let whole = |body: &[u8]| (body.to_vec(), body.len());
    if !has_key {
        return send("403 Forbidden", b"", 0);
    }
    let (body, promised) = match path.as_str() {
        "/api/TNG9/" => whole(format!(r#"{{"name": "TNG9", "num_files_snapshot": {FILES}}}"#).as_bytes()),
        "/api/TNG9/snapshots/9/" => whole(br#"{"number": 9, "redshift": 0.0}"#),
        _ => {
            let rest = path.strip_prefix("/api/TNG9/files/snapshot-9.")?;
            let (number, query) = rest.split_once(".hdf5?")?;
            if !query.starts_with("dm=Coordinates") {
                return send("400 Bad Request", b"no such field", 13);
            }
            let bytes = std::fs::read(folder.join(format!("snap_009.{number}.hdf5"))).unwrap();
            match (number.parse::<usize>().unwrap(), before) {
                (0, 0) => return send("504 Gateway Time-out", b"", 0),
                (1, 0) => (bytes[..bytes.len() / 2].to_vec(), bytes.len()),
                // Of another file: whole, and wrong.
                (2, 0) => whole(b"<html>Please log in</html>"),
                _ => whole(&bytes),
            }
        }
    };
    send("200 OK", &body, promised)
}

fn command(folder: &Path, api: &str, more: &[&str]) -> Command {
    let mut command = finescale();
    let arguments = ["grid", "tng:TNG9/9", "--cells", "8", "-o", "web.hdf5"];
    command.current_dir(folder).args(arguments).args(more);
    command.env("FINESCALE_TNG_API", api).env("TNG_API_KEY", KEY);
    command
}

#[test]
fn a_snapshot_over_the_web_is_the_one_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let positions: Vec<[f32; 3]> =
        (0..5000u32).map(|index| [1, 7, 77].map(|step| (index * step % 5000) as f32 * 0.002)).collect();
    let cosmology =
        Cosmology { omega_m: Some(0.3), omega_lambda: Some(0.7), hubble: Some(0.7), ..Cosmology::UNKNOWN };
    let writer =
        SnapshotWriter { box_size_mpc_h: 10.0, redshift: 0.0, cosmology, origin: None, files: FILES };
    let data = SpeciesData {
        species: Species::DarkMatter,
        positions_mpc_h: &positions,
        velocities_km_s: None,
        mass: Mass::Table(0.5),
    };
    let snapshot = writer.write(folder.path(), 9, &[data]).unwrap();
    let api = serve(&snapshot);
    let output = command(folder.path(), &api, &["--particles", "dm"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(!said.contains(KEY));

    let mut on_disk = finescale();
    let arguments = ["grid", "snapdir_009", "--particles", "dm", "--cells", "8", "-o", "disk.hdf5"];
    assert!(on_disk.current_dir(folder.path()).args(arguments).output().unwrap().status.success());
    let [web, disk] = ["web.hdf5", "disk.hdf5"].map(|name| read_grid(&folder.path().join(name)).unwrap());
    assert_eq!(web.field, disk.field);
    assert_eq!((web.meta.mean, web.meta.cosmology), (disk.meta.mean, disk.meta.cosmology));
    assert_eq!(web.meta.provenance["sources"][0], "tng:TNG9/9");
    assert_eq!(
        names(folder.path()),
        ["disk.hdf5", "snapdir_009", "web.hdf5"],
        "nothing is left of downloads"
    );

    let again = ["--particles", "dm", "--overwrite"];
    fails(&mut command(folder.path(), &api, &["--particles", "gas", "--overwrite"]), &["no such field"]);
    fails(command(folder.path(), &api, &again).env_remove("TNG_API_KEY"), &["TNG_API_KEY"]);
    fails(command(folder.path(), &api, &again).env("TNG_API_KEY", "another0key0of0theirs"), &["403"]);
    fails(
        &mut command(folder.path(), &api, &[&again[..], &["--chunks", "0"]].concat()),
        &["--chunks", "over the web"],
    );
    assert_eq!(names(folder.path()), ["disk.hdf5", "snapdir_009", "web.hdf5"]);
}

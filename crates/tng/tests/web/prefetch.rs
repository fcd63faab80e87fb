//! Chunk after chunk.

use crate::server::*;
use finescale_tng::{Chunks, Fields, Prefetch, Remote, TngError};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

static GO_ON: AtomicBool = AtomicBool::new(false);

fn prefetch<'a>(remote: &'a Remote, wanted: &'a [Fields], folder: &'a Path, first: usize) -> Prefetch<'a> {
    Prefetch { remote, wanted, folder, first, check: &check, stop: &GO_ON }
}

/// Numbers of the chunks that come, each looked into.
fn numbers(chunks: &mut Chunks<'_>) -> Result<Vec<usize>, TngError> {
    let mut numbers = Vec::new();
    while let Some(chunk) = chunks.next_chunk()? {
        check(chunk.number(), chunk.path()).unwrap();
        numbers.push(chunk.number());
    }
    Ok(numbers)
}

/// Files of chunks, whole or not.
fn files(folder: &Path) -> usize {
    names(folder).iter().filter(|name| name.contains("tng_")).count()
}

#[test]
fn chunks_come_in_order_from_any_on() {
    // Those before take longer.
    let server = Server::api(9, |asked| {
        let chunk = asked.chunk().unwrap();
        let pause = Duration::from_millis(if chunk.is_multiple_of(3) { 60 } else { 5 });
        [vec![Part::Pause(pause)], ok(&content(chunk))].concat()
    });
    let (remote, scratch) = (server.remote(), tempfile::tempdir().unwrap());
    let folder = scratch.path().join("new/chunks");
    for (first, expected) in [(0, (0..9).collect::<Vec<_>>()), (6, vec![6, 7, 8]), (9, vec![])] {
        assert_eq!(prefetch(&remote, &gas(), &folder, first).run(numbers).unwrap(), expected);
        assert!(!folder.exists() && scratch.path().join("new").exists());
    }
    assert_eq!(server.downloads(), 9 + 3);
    let error = prefetch(&remote, &gas(), &folder, 10).run(numbers).unwrap_err();
    assert!(matches!(error, TngError::NoChunk { .. }), "{error}");
    let error = prefetch(&remote, &[], &folder, 0).run(numbers).unwrap_err();
    assert!(matches!(error, TngError::Fields { .. }), "{error}");
}

#[test]
fn downloads_and_files_are_few() {
    let (now, most) =
        (&*Box::leak(Box::new(AtomicUsize::new(0))), &*Box::leak(Box::new(AtomicUsize::new(0))));
    let server = Server::api(12, move |asked| {
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let chunk = asked.chunk().unwrap();
        // The first ones meet even on a busy machine.
        std::thread::sleep(Duration::from_millis(if chunk < 3 { 400 } else { 20 }));
        now.fetch_sub(1, Ordering::SeqCst);
        ok(&content(chunk))
    });
    let (remote, folder) = (server.remote(), tempfile::tempdir().unwrap());
    let mut most_files = 0;
    let slowly = |chunks: &mut Chunks<'_>| -> Result<usize, TngError> {
        let mut count = 0;
        while let Some(chunk) = chunks.next_chunk()? {
            for _ in 0..10 {
                std::thread::sleep(Duration::from_millis(5));
                most_files = most_files.max(files(folder.path()));
            }
            assert!(chunk.path().exists());
            count += 1;
        }
        Ok(count)
    };
    assert_eq!(prefetch(&remote, &gas(), folder.path(), 0).run(slowly).unwrap(), 12);
    // Three connections: all busy at some time, while one file is handed out.
    assert_eq!((most.load(Ordering::SeqCst), most_files), (3, 4));
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn an_error_comes_at_the_turn_of_its_chunk() {
    let server = Server::api(9, |asked| match asked.chunk().unwrap() {
        0 => [vec![Part::Pause(Duration::from_millis(500))], ok(&content(0))].concat(),
        2 => page(404, "Not Found"),
        chunk => ok(&content(chunk)),
    });
    let (remote, folder) = (server.remote(), tempfile::tempdir().unwrap());
    let seen = Mutex::new(Vec::new());
    let until_error = |chunks: &mut Chunks<'_>| -> Result<(), TngError> {
        let error = loop {
            // Time to begin another one.
            std::thread::sleep(Duration::from_millis(100));
            match chunks.next_chunk() {
                Ok(chunk) => seen.lock().unwrap().push(chunk.unwrap().number()),
                Err(error) => break error,
            }
        };
        assert!(matches!(chunks.next_chunk(), Err(TngError::Stopped { .. })));
        Err(error)
    };
    let error = prefetch(&remote, &gas(), folder.path(), 0).run(until_error).unwrap_err();
    assert!(matches!(&error, TngError::NotFound { what, .. } if what.ends_with("chunk 2")), "{error}");
    assert_eq!(*seen.lock().unwrap(), [0, 1]);
    // When it was known, nobody began another one.
    assert!(server.asked().iter().filter_map(Asked::chunk).all(|chunk| chunk < 4));
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn what_a_killed_process_left_is_used_or_removed() {
    let server = Server::api(20, |asked| ok(&content(asked.chunk().unwrap())));
    let (remote, folder) = (server.remote(), tempfile::tempdir().unwrap());
    // The names that this version gives, from a run that keeps copies.
    let kept = Mutex::new(Vec::new());
    let copy = |chunks: &mut Chunks<'_>| -> Result<(), TngError> {
        while let Some(chunk) = chunks.next_chunk()? {
            let bytes = std::fs::read(chunk.path()).unwrap();
            kept.lock().unwrap().push((chunk.path().to_owned(), bytes));
        }
        Ok(())
    };
    prefetch(&remote, &gas(), folder.path(), 12).run(copy).unwrap();
    let before = server.downloads();
    for (path, bytes) in kept.into_inner().unwrap() {
        std::fs::write(path, bytes).unwrap();
    }
    let path = |chunk: usize| {
        let name = names(folder.path()).into_iter().find(|name| name.ends_with(&format!(".{chunk}.hdf5")));
        folder.path().join(name.unwrap())
    };
    // 13 is damaged, 14 another request's, one is half there, and one is not ours.
    std::fs::write(path(13), &content(13)[..200_000]).unwrap();
    let foreign = path(14).to_str().unwrap().replace("_099_", "_098_");
    std::fs::rename(path(14), foreign).unwrap();
    let partial = format!(".{}.AbCdEf012345.partial", path(15).file_name().unwrap().to_str().unwrap());
    std::fs::write(folder.path().join(partial), "half").unwrap();
    std::fs::write(folder.path().join("notes.txt"), "mine").unwrap();

    let look = |chunks: &mut Chunks<'_>| {
        let first = chunks.next_chunk()?.unwrap().number();
        assert!(files(folder.path()) <= 4, "{:?}", names(folder.path()));
        let mut all = vec![first];
        all.extend(numbers(chunks)?);
        Ok::<_, TngError>(all)
    };
    let all = prefetch(&remote, &gas(), folder.path(), 12).run(look).unwrap();
    assert_eq!(all, (12..20).collect::<Vec<_>>());
    let mut asked: Vec<usize> = server.asked().iter().filter_map(Asked::chunk).skip(before).collect();
    asked.sort_unstable();
    // 12 and 15 were whole; those after them would have been too many at once.
    assert_eq!(asked, [13, 14, 16, 17, 18, 19]);
    assert_eq!(names(folder.path()), ["notes.txt"]);
}

#[test]
fn two_runs_do_not_share_a_folder() {
    let server = Server::api(2, |asked| ok(&content(asked.chunk().unwrap())));
    let (remote, folder) = (server.remote(), tempfile::tempdir().unwrap());
    let (fields, path) = (gas(), folder.path());
    let outer = prefetch(&remote, &fields, path, 0);
    let twice = |_: &mut Chunks<'_>| {
        let error = outer.run(numbers).unwrap_err();
        assert!(matches!(error, TngError::Busy { .. }) && error.is_input(), "{error}");
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        Ok::<_, TngError>(())
    };
    outer.run(twice).unwrap();
    assert_eq!(outer.run(numbers).unwrap(), [0, 1]);
    std::fs::write(path.join("file"), "").unwrap();
    let error = prefetch(&remote, &fields, &path.join("file"), 0).run(numbers).unwrap_err();
    assert!(matches!(error, TngError::Folder { .. }), "{error}");
}

#[test]
fn a_stop_ends_all_downloads() {
    let server = Server::api(9, |asked| match asked.chunk().unwrap() {
        0 => ok(&content(0)),
        _ => [promising(1_000_000, &content(1)), vec![Part::Pause(Duration::from_secs(20))]].concat(),
    });
    let remote = remote(&server.client_waiting(Duration::from_secs(20)));
    let (fields, folder, stop) = (gas(), tempfile::tempdir().unwrap(), AtomicBool::new(false));
    let start = Instant::now();
    let stopping = |chunks: &mut Chunks<'_>| {
        drop(chunks.next_chunk()?);
        std::thread::sleep(Duration::from_millis(200));
        stop.store(true, Ordering::Relaxed);
        chunks.next_chunk().map(|chunk| chunk.is_some())
    };
    let request = Prefetch { stop: &stop, ..prefetch(&remote, &fields, folder.path(), 0) };
    let error = request.run(stopping).unwrap_err();
    assert!(matches!(error, TngError::Stopped { .. }), "{error}");
    // One who has enough ends them as well, and one who panics.
    let enough = |chunks: &mut Chunks<'_>| chunks.next_chunk().map(|chunk| chunk.unwrap().number());
    assert_eq!(prefetch(&remote, &fields, folder.path(), 0).run(enough).unwrap(), 0);
    let caught = std::panic::catch_unwind(AssertUnwindSafe(|| {
        prefetch(&remote, &fields, folder.path(), 0)
            .run(|_| -> Result<(), TngError> { panic!("a bug of the caller") })
    }));
    assert!(caught.is_err());
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

#[test]
fn a_check_that_panics_ends_all() {
    let server = Server::api(9, |asked| ok(&content(asked.chunk().unwrap())));
    let (remote, fields, folder) = (server.remote(), gas(), tempfile::tempdir().unwrap());
    let check = |chunk: usize, _: &Path| match chunk {
        1 => panic!("a bug of the check"),
        _ => Ok(()),
    };
    let request = Prefetch { check: &check, ..prefetch(&remote, &fields, folder.path(), 0) };
    let caught = std::panic::catch_unwind(AssertUnwindSafe(|| {
        request.run(|chunks| -> Result<(), TngError> {
            while chunks.next_chunk()?.is_some() {}
            Ok(())
        })
    }));
    assert!(caught.is_err());
}

//! Text files that appear under their name only when they are whole.

use anyhow::Context;
use std::path::{Path, PathBuf};

/// Writes `text` to `path`, making its folder if needed.
pub(crate) fn write_text(path: &Path, text: &str) -> anyhow::Result<()> {
    let partial = with_ending(path, ".partial");
    let folder = path.parent().unwrap_or(Path::new(""));
    let made = if folder.as_os_str().is_empty() { Ok(()) } else { std::fs::create_dir_all(folder) };
    let written =
        made.and_then(|()| std::fs::write(&partial, text)).and_then(|()| std::fs::rename(&partial, path));
    written
        .inspect_err(|_| {
            // The first error is the one to tell.
            let _ = std::fs::remove_file(&partial);
        })
        .with_context(|| format!("writing {}", path.display()))
}

/// The path with `ending` after its name.
pub(crate) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

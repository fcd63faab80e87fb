//! Text that a stranger's file holds.

use std::fmt::Write;

/// Characters of a name that becomes part of a file's name.
const LONGEST_NAME: usize = 64;
/// Characters of foreign text that an error or warning repeats.
const LONGEST_SHOWN: usize = 200;

/// Whether a name can stand in the name of a file: letters, digits, `_` and `-`, at most 64. It then leads to no other
/// folder, hides no file, and says nothing to a terminal or a shell.
#[must_use]
pub fn is_plain_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(plain)
}

/// Foreign text as one short line for people: control characters and what changes the direction of writing are
/// escaped, and what goes beyond 200 characters is left out.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut line = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == LONGEST_SHOWN {
            line.push_str(" ...");
            break;
        }
        if speaks_to_terminals(c) {
            // Writing to a string cannot fail.
            let _ = write!(line, "{}", c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// What a file that is not what it should be looks like by its first bytes, if that is known.
#[must_use]
pub fn looks_like(start: &[u8]) -> Option<&'static str> {
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    let begins =
        |prefix: &[u8]| text.len() >= prefix.len() && text[..prefix.len()].eq_ignore_ascii_case(prefix);
    match start {
        [] => Some("it is empty"),
        _ if begins(b"version https://git-lfs") => {
            Some("it is a pointer of Git LFS: `git lfs pull` brings the file itself")
        }
        _ if begins(b"<!doctype") || begins(b"<html") || begins(b"<?xml") => {
            Some("it is a web page, such as one to log in: download the file itself")
        }
        [0x1f, 0x8b, ..] => Some("it is packed by gzip: unpack it"),
        [b'P', b'K', 3, 4, ..] => Some("it is a zip archive, as .npz and checkpoints of PyTorch are"),
        [0x80, 2..=5, ..] => Some("it is a pickle of Python, as old checkpoints of PyTorch are"),
        // The length of its header, and the header.
        [_, _, _, _, _, 0, 0, 0, b'{', ..] => Some("it is a safetensors file"),
        _ => None,
    }
}

/// Whether a terminal would act on the character instead of showing it.
fn speaks_to_terminals(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_downloads_leave_is_known() {
        let says = |start: &[u8], text: &str| looks_like(start).is_some_and(|found| found.contains(text));
        assert!(says(b"", "empty") && says(b"\n<!DOCTYPE html><html>", "web page"));
        assert!(says(b"version https://git-lfs.github.com/spec/v1", "git lfs pull"));
        assert!(says(b"\x80\x02ctorch", "pickle") && says(b"PK\x03\x04", "zip"));
        assert!(says(b"\x10\x02\0\0\0\0\0\0{\"a", "safetensors") && says(b"\x1f\x8b\x08", "gzip"));
        assert_eq!(looks_like(b"\x89HDF\r\n\x1a\n"), None);
    }

    #[test]
    fn plain_names_lead_nowhere() {
        for name in ["dm", "gas", "HI_mass-2", "x", &"a".repeat(64)] {
            assert!(is_plain_name(name), "{name}");
        }
        for name in
            ["", ".", "..", "a/b", "../a", "a b", "ga\u{7}s", "größe", "a.b", "a\\b", "~", &"a".repeat(65)]
        {
            assert!(!is_plain_name(name), "{name:?}");
        }
    }

    #[test]
    fn terminals_are_told_nothing() {
        assert_eq!(shown("größer – 10 \"µm\""), "größer – 10 \"µm\"");
        assert_eq!(shown("a\u{1b}]0;title\u{7}b"), "a\\u{1b}]0;title\\u{7}b");
        assert_eq!(shown("\u{9b}31m\u{202e}"), "\\u{9b}31m\\u{202e}");
        assert_eq!(shown("line\nline"), "line\\nline");
        let long = shown(&"x".repeat(100_000));
        assert_eq!((long.len(), long.ends_with("x ...")), (204, true));
    }
}

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

/// Whether a terminal would act on the character instead of showing it.
fn speaks_to_terminals(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

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
